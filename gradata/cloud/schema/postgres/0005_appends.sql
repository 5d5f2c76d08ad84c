-- A group of batches that continue logs as this process left them, in one statement: check that nothing changed in
-- between, then write (`end_group`). False, and nothing written, if another process wrote to one of the brains.
--
-- `brain_keys` in the order of the brains' names (C), in which they are locked. What is checked under the locks: the
-- number of each brain's events, that it was not deleted and nothing in it erased, and each log's tree.
CREATE FUNCTION gradata.append_group(
    lock_s int, known_keys bigint[], known_events bigint[], known_nodes bytea[],

    now_us bigint,
    record_logs bigint[], numbers bigint[], offsets bigint[], lengths bigint[], flags text[], records bytea[],
    tile_logs bigint[], tile_levels int[], tile_indexes bigint[], tile_slots int[], tile_hashes bytea[],
    full_logs bigint[], full_levels int[], full_indexes bigint[],
    head_logs bigint[], sizes bigint[], ends bigint[], last_ids text[], head_nodes bytea[], devices text[],
    parents text[], statuses bytea[],
    event_brains bigint[], cursors bigint[], event_ids text[], contents bytea[], event_logs bigint[],
    event_numbers bigint[], loose bytea[], types text[], categories text[], severities text[], sessions bigint[],
    session_texts text[], timestamps text[],
    day_brains bigint[], days text[], day_types text[], day_categories text[], day_severities text[], counts bigint[],
    brain_keys bigint[], workspaces text[], logs bigint[], events bigint[]
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
    SELECT array_agg(b.brain_key) = known_keys AND array_agg(b.events) = known_events
           AND bool_and(b.deleted_at IS NULL AND b.erased = 0)
      INTO same
      FROM (SELECT * FROM gradata.brains WHERE brain_key = ANY (known_keys) ORDER BY brain_id FOR NO KEY UPDATE) b;
    IF same IS NOT TRUE THEN
        RETURN false;
    END IF;
    SELECT count(*) = cardinality(head_logs) INTO same
      FROM (SELECT unnest(head_logs) AS log_key, unnest(known_nodes) AS nodes) u
      JOIN gradata.logs g ON g.brain_key = u.log_key >> 23 AND g.log_key = u.log_key AND g.nodes = u.nodes;
    IF NOT same THEN
        RETURN false;
    END IF;
    PERFORM gradata.end_group(now_us, record_logs, numbers, offsets, lengths, flags, records, tile_logs, tile_levels, tile_indexes, tile_slots, tile_hashes, full_logs, full_levels, full_indexes, head_logs, sizes, ends, last_ids, head_nodes, devices, parents, statuses, event_brains, cursors, event_ids, contents, event_logs, event_numbers, loose, types, categories, severities, sessions, session_texts, timestamps, day_brains, days, day_types, day_categories, day_severities, counts, brain_keys, workspaces, logs, events);
    RETURN true;
END $$;
