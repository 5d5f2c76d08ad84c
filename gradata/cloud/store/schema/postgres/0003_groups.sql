-- What the server does for each group of requests, as two functions: one round trip each, and their plans are kept by
-- the session without a prepared statement, which a transaction pooler would lose. Planning was two thirds of the cost
-- of a small group.
--
-- Arrays in, one element for each row; `unnest` stands in the select list, where it streams (in FROM each array is
-- copied to a store of its own first). The settings keep every plan to index probes, whatever the planner believes
-- of a table that was empty when the plan was made.

-- Lock the brains in the order of their names (C), then tell what is stored, each statement with a snapshot behind the
-- lock. Places are counted from 1. If a brain does not exist only `missing` is told, and the
-- caller rolls back and makes it.
CREATE FUNCTION gradata.begin_group(
    brain_ids   text[],
    log_brains  int[],   -- of each log the place of its brain
    log_ids     text[],
    event_brains int[],  -- of each event the place of its brain
    event_ids   text[],
    lock_s      int,
    idle_s      int,
    OUT missing text[],
    OUT keys bigint[], OUT workspaces text[], OUT logs bigint[], OUT events bigint[],
    OUT deleted bigint[], OUT gone bigint[], OUT erased bigint[],
    OUT log_places bigint[], OUT log_keys bigint[], OUT sizes bigint[], OUT nodes bytea[], OUT offsets bigint[],
    OUT last_ids text[],
    OUT known_places bigint[], OUT contents bytea[]
) LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off
AS $$
DECLARE
    tops text[];
BEGIN
    PERFORM set_config('lock_timeout', lock_s || 's', true),
            set_config('idle_in_transaction_session_timeout', idle_s || 's', true);
    -- `local` would do for a hint only: a 200 means that the commit is durable, whatever the database's default is.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    SELECT array_agg(b.brain_key), array_agg(b.workspace), array_agg(b.logs), array_agg(b.events),
           array_agg(b.deleted_at), array_agg(b.gone), array_agg(b.erased)
      INTO keys, workspaces, logs, events, deleted, gone, erased
      FROM (SELECT * FROM gradata.brains WHERE brain_id = ANY (brain_ids) ORDER BY brain_id FOR NO KEY UPDATE) b;
    IF cardinality(keys) IS DISTINCT FROM cardinality(brain_ids) THEN
        missing := ARRAY(
            SELECT w.name FROM unnest(brain_ids) AS w(name)
             WHERE NOT EXISTS (SELECT FROM gradata.brains b WHERE b.brain_id = w.name));
        RETURN;
    END IF;

    SELECT array_agg(w.place), array_agg(g.log_key), array_agg(g.size), array_agg(g.nodes), array_agg(g."offset"),
           array_agg(g.event_id)
      INTO log_places, log_keys, sizes, nodes, offsets, last_ids
      FROM unnest(log_brains, log_ids) WITH ORDINALITY AS w(brain, log_id, place)
     CROSS JOIN LATERAL (
         SELECT l.log_key, l.size, l.nodes, l."offset", l.event_id FROM gradata.logs l
          WHERE l.brain_key = keys[w.brain] AND l.log_id = w.log_id LIMIT 1) g;

    IF cardinality(event_ids) > 0 THEN
        -- An id above all of its brain's is new: one probe for a batch whose ids are in the order of time.
        tops := ARRAY(
            SELECT (SELECT e.event_id FROM gradata.events e WHERE e.brain_key = k.brain_key
                     ORDER BY e.event_id DESC LIMIT 1)
              FROM unnest(keys) WITH ORDINALITY AS k(brain_key, place) ORDER BY k.place);
        SELECT array_agg(w.place), array_agg(e.content) INTO known_places, contents
          FROM unnest(event_brains, event_ids) WITH ORDINALITY AS w(brain, event_id, place)
         CROSS JOIN LATERAL (
             SELECT x.content FROM gradata.events x
              WHERE x.brain_key = keys[w.brain] AND x.event_id = w.event_id LIMIT 1) e
         WHERE w.event_id COLLATE "C" <= tops[w.brain];
    END IF;
END $$;

-- Write what was decided, under the locks that `begin_group` took. A column without a value in any row may come as an
-- empty array: `unnest` fills up with NULL. 23: the bits of a log's number in its key.
CREATE FUNCTION gradata.end_group(
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
) RETURNS void LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off
AS $$
BEGIN
    IF cardinality(record_logs) > 0 THEN
        INSERT INTO gradata.records (brain_key, log_key, number, "offset", length, flag, record)
        SELECT unnest(record_logs) >> 23, unnest(record_logs), unnest(numbers), unnest(offsets), unnest(lengths),
               unnest(flags), unnest(records);
    END IF;
    IF cardinality(tile_logs) > 0 THEN
        INSERT INTO gradata.tiles (brain_key, log_key, level, "index", slot, hashes)
        SELECT unnest(tile_logs) >> 23, unnest(tile_logs), unnest(tile_levels), unnest(tile_indexes),
               unnest(tile_slots), unnest(tile_hashes)
            ON CONFLICT (brain_key, log_key, level, "index", slot) DO UPDATE SET hashes = excluded.hashes;
    END IF;
    IF cardinality(full_logs) > 0 THEN
        -- A full tile becomes one row, unless it lost a part.
        WITH wanted AS (
            SELECT unnest(full_logs) AS log_key, unnest(full_levels) AS level, unnest(full_indexes) AS "index"
        ), whole AS (
            SELECT t.brain_key, t.log_key, t.level, t."index",
                   string_agg(t.hashes, ''::bytea ORDER BY t.slot) AS hashes
              FROM wanted w
              JOIN gradata.tiles t ON t.brain_key = w.log_key >> 23 AND t.log_key = w.log_key AND t.level = w.level
                                  AND t."index" = w."index"
             GROUP BY 1, 2, 3, 4 HAVING sum(length(t.hashes)) = 8192 AND min(t.slot) = 0
        ), parts AS (
            DELETE FROM gradata.tiles t USING whole w
             WHERE t.brain_key = w.brain_key AND t.log_key = w.log_key AND t.level = w.level AND t."index" = w."index"
               AND t.slot > 0
        )
        UPDATE gradata.tiles t SET hashes = w.hashes FROM whole w
         WHERE t.brain_key = w.brain_key AND t.log_key = w.log_key AND t.level = w.level AND t."index" = w."index"
           AND t.slot = 0;
    END IF;
    IF cardinality(head_logs) > 0 THEN
        UPDATE gradata.logs g
           SET size = u.size, "offset" = u."end", event_id = u.last_id, nodes = u.nodes, stored_at = now_us,
               heard_at = now_us, device_id = u.device, parent = coalesce(g.parent, u.parent),
               status = coalesce(u.status, g.status)
          FROM (SELECT unnest(head_logs) AS log_key, unnest(sizes) AS size, unnest(ends) AS "end",
                       unnest(last_ids) AS last_id, unnest(head_nodes) AS nodes, unnest(devices) AS device,
                       unnest(parents) AS parent, unnest(statuses) AS status) u
         WHERE g.brain_key = u.log_key >> 23 AND g.log_key = u.log_key;
    END IF;
    IF cardinality(event_brains) > 0 THEN
        INSERT INTO gradata.events (brain_key, cursor, event_id, content, stored_at, log_key, number, loose,
                                    type, category, severity, session, session_text, ts)
        SELECT unnest(event_brains), unnest(cursors), unnest(event_ids), unnest(contents), now_us, unnest(event_logs),
               unnest(event_numbers), unnest(loose), unnest(types), unnest(categories), unnest(severities),
               unnest(sessions), unnest(session_texts), unnest(timestamps);
        INSERT INTO gradata.days AS g (brain_key, day, type, category, severity, events)
        SELECT unnest(day_brains), unnest(days), unnest(day_types), unnest(day_categories), unnest(day_severities),
               unnest(counts)
            ON CONFLICT (brain_key, day, type, category, severity) DO UPDATE SET events = g.events + excluded.events;
    END IF;
    IF cardinality(brain_keys) > 0 THEN
        UPDATE gradata.brains g
           SET workspace = u.workspace, logs = u.logs, events = u.events,
               created_at = CASE g.created_at WHEN 0 THEN now_us ELSE g.created_at END
          FROM (SELECT unnest(brain_keys) AS brain_key, unnest(workspaces) AS workspace, unnest(logs) AS logs,
                       unnest(events) AS events) u
         WHERE g.brain_key = u.brain_key;
    END IF;
END $$;
