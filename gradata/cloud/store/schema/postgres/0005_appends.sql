-- Whether a group of batches continues its logs as they are stored: then one statement may check and write,
-- `SELECT end_group(…) WHERE hold_group(…)`. False if another process wrote to one of the brains meanwhile.
--
-- Locks the brains in the order of their names (C), in which `brain_keys` are. Checked under the locks: the number of each
-- brain's events, that it was not deleted and nothing in it erased, and the tree of each log.
CREATE FUNCTION gradata.hold_group(
    lock_s int, brain_keys bigint[], brain_events bigint[], log_keys bigint[], log_nodes bytea[]
) RETURNS boolean LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off
AS $$
DECLARE
    same boolean;
BEGIN
    PERFORM set_config('lock_timeout', lock_s || 's', true);
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT array_agg(b.brain_key) = brain_keys AND array_agg(b.events) = brain_events
           AND bool_and(b.deleted_at IS NULL AND b.erased = 0)
      INTO same
      FROM (SELECT * FROM gradata.brains g WHERE g.brain_key = ANY (brain_keys)
             ORDER BY g.brain_id FOR NO KEY UPDATE) b;
    IF same IS NOT TRUE THEN
        RETURN false;
    END IF;
    SELECT count(*) = cardinality(log_keys) INTO same
      FROM (SELECT unnest(log_keys) AS log_key, unnest(log_nodes) AS nodes) u
      JOIN gradata.logs g ON g.brain_key = u.log_key >> 23 AND g.log_key = u.log_key AND g.nodes = u.nodes;
    RETURN same;
END $$;
