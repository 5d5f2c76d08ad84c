-- The cloud's store, first form.
--
-- Two wide keys are packed into integers: records.place = log_key << 40 | number of the record;
-- events.cursor = brain_key << 40 | number of the event, and rows lie in this order.
-- What is large stands last in its row: the columns before it are read without it.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE brains (
    brain_key  INTEGER PRIMARY KEY,
    brain_id   TEXT NOT NULL UNIQUE,
    workspace  TEXT NOT NULL,
    events     INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
);
CREATE INDEX brains_of_workspace ON brains (workspace);

CREATE TABLE logs (
    log_key    INTEGER PRIMARY KEY,
    log_id     TEXT NOT NULL,
    brain_key  INTEGER NOT NULL REFERENCES brains,
    device_id  TEXT NOT NULL,
    parent     TEXT,
    created_at INTEGER NOT NULL,
    size       INTEGER NOT NULL DEFAULT 0,
    "offset"   INTEGER NOT NULL DEFAULT 0,
    event_id   TEXT,
    stored_at  INTEGER,
    heard_at   INTEGER,
    nodes      BLOB NOT NULL DEFAULT x'',
    status     BLOB,
    UNIQUE (brain_key, log_id)
);
CREATE INDEX logs_by_id ON logs (log_id);

-- Records lie in the order in which they came: where many logs are in use, the next record of each would come into the
-- middle of the table, which moves its neighbours: two pages more an event. A batch lies together all the same.
-- Stores made before had place as their primary key. Every statement works on both, so they are left as they are.
CREATE TABLE records (
    place    INTEGER NOT NULL UNIQUE,
    "offset" INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    flag     TEXT,
    record   BLOB
);
CREATE INDEX holes ON records (place) WHERE record IS NULL;

CREATE TABLE tiles (
    log_key INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    hashes  BLOB NOT NULL,
    PRIMARY KEY (log_key, level, "index")
);

CREATE TABLE events (
    cursor    INTEGER PRIMARY KEY,
    brain_key INTEGER NOT NULL,
    event_id  TEXT NOT NULL,
    content   BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    place     INTEGER,
    loose     INTEGER,
    type      TEXT NOT NULL,
    category  TEXT,
    severity  TEXT,
    session   BLOB,
    ts        TEXT
);
CREATE UNIQUE INDEX events_by_id ON events (brain_key, event_id);

-- Records that are part of no log, each content once for a brain.
CREATE TABLE loose (
    loose     INTEGER PRIMARY KEY,
    brain_key INTEGER NOT NULL,
    content   BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    flag      TEXT,
    record    BLOB NOT NULL,
    UNIQUE (brain_key, content)
);

CREATE TABLE keys (
    prefix     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    workspace  TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    brains     TEXT NOT NULL,
    sha256     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;

CREATE TABLE refusals (
    prefix   TEXT NOT NULL,
    brain_id TEXT NOT NULL,
    code     TEXT NOT NULL,
    count    INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (prefix, brain_id)
) WITHOUT ROWID;
