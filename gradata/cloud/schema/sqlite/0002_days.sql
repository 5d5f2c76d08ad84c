-- How many events of a kind a brain has of each day: what charts read. Kept in the commit that stores the events;
-- the day is chosen as `days.day_counts` does.

CREATE TABLE days (
    brain_key INTEGER NOT NULL,
    day       TEXT NOT NULL,
    type      TEXT NOT NULL,
    category  TEXT NOT NULL,
    severity  TEXT NOT NULL,
    events    INTEGER NOT NULL,
    PRIMARY KEY (brain_key, day, type, category, severity)
) WITHOUT ROWID;

INSERT INTO days
SELECT brain_key,
       CASE WHEN (ts GLOB '19[0-9][0-9]-[01][0-9]-[0-3][0-9]*' OR ts GLOB '20[0-9][0-9]-[01][0-9]-[0-3][0-9]*')
                 AND substr(ts, 1, 10) <= date(stored_at / 1000000, 'unixepoch')
            THEN substr(ts, 1, 10) ELSE date(stored_at / 1000000, 'unixepoch') END,
       type, coalesce(category, ''), coalesce(severity, ''), count(*)
  FROM events GROUP BY 1, 2, 3, 4, 5;
