-- What open pages and request budgets ask again and again, as functions: planned once a session, as in 0003.

-- The next few events of several feeds; place: of the feed, from 1. `large`: the record is not told here, it is longer
-- than record_bytes. As many as events_max of a feed: there may be more.
CREATE FUNCTION gradata.fresh(
    spaces text[], brain_ids text[], afters bigint[], kinds text[], events_max int, record_bytes int
) RETURNS TABLE (
    place bigint, "cursor" bigint, event_id text, type text, category text, severity text, session bigint,
    session_text text, ts text, stored_at bigint, number bigint, log_id text, record bytea, large boolean
) LANGUAGE plpgsql STABLE
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.place, e.cursor, e.event_id, e.type, e.category, e.severity, e.session, e.session_text, e.ts, e.stored_at,
           e.number, g.log_id, s.record, s.large
      FROM unnest(spaces, brain_ids, afters, kinds) WITH ORDINALITY AS w(space, brain_id, after, kind, place)
     CROSS JOIN LATERAL (
         SELECT b.brain_key FROM gradata.brains b
          WHERE b.brain_id = w.brain_id AND b.workspace = w.space AND b.deleted_at IS NULL LIMIT 1) b
     CROSS JOIN LATERAL (
         SELECT x.* FROM gradata.events x
          WHERE x.brain_key = b.brain_key AND x.cursor > w.after AND x.gone IS NULL
            AND (w.kind IS NULL OR x.type = w.kind)
          ORDER BY x.cursor LIMIT events_max) e
      LEFT JOIN gradata.logs g ON g.brain_key = e.brain_key AND g.log_key = e.log_key
      LEFT JOIN gradata.records r ON r.brain_key = e.brain_key AND r.log_key = e.log_key AND r.number = e.number
      LEFT JOIN gradata.loose o ON o.brain_key = e.brain_key AND o.content = e.loose
     CROSS JOIN LATERAL (
         SELECT CASE WHEN t.size <= record_bytes THEN coalesce(r.record, o.record) END AS record,
                coalesce(t.size > record_bytes, false) AS large
           FROM (SELECT octet_length(coalesce(r.record, o.record)) AS size) t) s
     ORDER BY w.place, e.cursor;
END $$;

-- One request of each name counted against its budget, `wanted` of them: the generic cell rate algorithm, by the
-- database's clock, in microseconds. `passed`: how many of those asked for; `start`: until when it was busy before.
CREATE FUNCTION gradata.spend(names text[], wanted int[], "interval" bigint, room int)
RETURNS TABLE (name text, start bigint, passed int, now_us bigint) LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    begun bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    RETURN QUERY
    INSERT INTO gradata.rates AS r (name, busy_until, passed)
    SELECT w.name, begun + least(w.wanted, room) * "interval", least(w.wanted, room)
      FROM unnest(names, wanted) AS w(name, wanted)
     ORDER BY w.name COLLATE "C"
        ON CONFLICT (name) DO UPDATE SET (busy_until, passed) = (
            SELECT a.start + k * "interval", k
              FROM (SELECT greatest(r.busy_until, begun) AS start) a,
                   LATERAL (SELECT greatest(0, least(excluded.passed,
                                (room - (a.start - begun + "interval" - 1) / "interval")))::int AS k) c)
    RETURNING r.name, r.busy_until - r.passed * "interval",
              r.passed, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
END $$;
