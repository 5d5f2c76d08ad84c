-- What eyes need: charts, open alerts, and what a webhook has still to be told.

-- How many events of a kind a brain has of each day: what charts read. Kept in the commit that stores the events.
CREATE TABLE days (
    brain_key INTEGER NOT NULL,
    day       TEXT NOT NULL,
    type      TEXT NOT NULL,
    category  TEXT NOT NULL,
    severity  TEXT NOT NULL,
    events    INTEGER NOT NULL,
    PRIMARY KEY (brain_key, day, type, category, severity)
) WITHOUT ROWID;

-- The rule of `domain.daily_counts.py`, for what was stored before this table was.
INSERT INTO days (brain_key, day, type, category, severity, events)
SELECT brain_key,
       CASE WHEN date(substr(ts, 1, 10)) = substr(ts, 1, 10)
                 AND substr(ts, 1, 10) BETWEEN '1900-01-01' AND date(stored_at / 1000000, 'unixepoch')
            THEN substr(ts, 1, 10) ELSE date(stored_at / 1000000, 'unixepoch') END,
       type, coalesce(category, ''), coalesce(severity, ''), count(*)
  FROM events GROUP BY 1, 2, 3, 4, 5;

CREATE TABLE alerts (
    name      TEXT PRIMARY KEY,
    state     TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    subject   BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE notices (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    alert      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    body       BLOB NOT NULL
);
