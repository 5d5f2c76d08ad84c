-- The cloud's store on PostgreSQL, first form. Plain SQL: no extension, no superuser.
--
-- A schema of its own, with every name qualified: `public` is what hosted PostgreSQLs show to the world, and a
-- search_path does not survive a transaction pooler. `COLLATE "C"`: names are compared as bytes, which is faster and
-- the same everywhere.
--
-- log_key = brain_key << 23 | number of the log within its brain. Every key begins with brain_key, so the large
-- tables can be partitioned by it: `/* by brain */` is where that is put in. No foreign keys: a look-up for each row,
-- for keys that only we make.
--
-- brains.logs and brains.events count what the brain has; they give out the next numbers, under the row's lock.

CREATE TABLE gradata.meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO gradata.meta VALUES ('cloud_id', gen_random_uuid()::text);

CREATE TABLE gradata.brains (
    brain_key  bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    brain_id   text COLLATE "C" NOT NULL UNIQUE,
    workspace  text COLLATE "C" NOT NULL,
    logs       bigint NOT NULL DEFAULT 0,
    events     bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX brains_of_workspace ON gradata.brains (workspace, brain_id);

CREATE TABLE gradata.logs (
    brain_key  bigint NOT NULL,
    log_key    bigint NOT NULL,
    log_id     text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    parent     text,
    created_at bigint NOT NULL,
    size       bigint NOT NULL DEFAULT 0,
    "offset"   bigint NOT NULL DEFAULT 0,
    event_id   text,
    stored_at  bigint,
    heard_at   bigint,
    nodes      bytea NOT NULL DEFAULT '',
    status     bytea,
    PRIMARY KEY (brain_key, log_key),
    UNIQUE (brain_key, log_id)
) /* by brain */;
CREATE INDEX logs_by_id ON gradata.logs (log_id);

CREATE TABLE gradata.records (
    brain_key bigint NOT NULL,
    log_key   bigint NOT NULL,
    number    bigint NOT NULL,
    "offset"  bigint NOT NULL,
    length    bigint NOT NULL,
    flag      text,
    record    bytea,
    PRIMARY KEY (brain_key, log_key, number)
) /* by brain */;
CREATE INDEX holes ON gradata.records (brain_key, log_key) WHERE record IS NULL;

-- A tile grows by parts, each put where it belongs, from `slot` on; a full one becomes a single row. Rewriting the
-- tile for each event would write 4 kB for 32 bytes.
CREATE TABLE gradata.tiles (
    brain_key bigint NOT NULL,
    log_key   bigint NOT NULL,
    level     int NOT NULL,
    "index"   bigint NOT NULL,
    slot      int NOT NULL,
    hashes    bytea NOT NULL,
    PRIMARY KEY (brain_key, log_key, level, "index", slot)
) /* by brain */;
ALTER TABLE gradata.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress

CREATE TABLE gradata.events (
    brain_key    bigint NOT NULL,
    cursor       bigint NOT NULL,
    event_id     text COLLATE "C" NOT NULL,
    content      bytea NOT NULL,
    stored_at    bigint NOT NULL,
    log_key      bigint,
    number       bigint,
    loose        bytea,
    type         text NOT NULL,
    category     text,
    severity     text,
    session      bigint,
    session_text text,
    ts           text,
    PRIMARY KEY (brain_key, cursor),
    UNIQUE (brain_key, event_id)
) /* by brain */;

-- Records that are part of no log, each content once for a brain.
CREATE TABLE gradata.loose (
    brain_key bigint NOT NULL,
    content   bytea NOT NULL,
    stored_at bigint NOT NULL,
    flag      text,
    record    bytea NOT NULL,
    PRIMARY KEY (brain_key, content)
) /* by brain */;

-- How many events of a kind a brain has of each day: what charts read. Kept in the commit that stores the events.
CREATE TABLE gradata.days (
    brain_key bigint NOT NULL,
    day       text COLLATE "C" NOT NULL,
    type      text COLLATE "C" NOT NULL,
    category  text COLLATE "C" NOT NULL,
    severity  text COLLATE "C" NOT NULL,
    events    bigint NOT NULL,
    PRIMARY KEY (brain_key, day, type, category, severity)
) /* by brain */;

CREATE TABLE gradata.keys (
    prefix     text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    workspace  text NOT NULL,
    scopes     text NOT NULL,
    brains     text NOT NULL,
    sha256     bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

CREATE TABLE gradata.refusals (
    prefix   text COLLATE "C" NOT NULL,
    brain_id text COLLATE "C" NOT NULL,
    code     text NOT NULL,
    count    bigint NOT NULL,
    last_at  bigint NOT NULL,
    PRIMARY KEY (prefix, brain_id)
);

-- What is left of each brain's request budget. Unlogged: ten times as fast, and after a crash everyone may begin anew.
CREATE UNLOGGED TABLE gradata.rates (
    name       text COLLATE "C" PRIMARY KEY,
    busy_until bigint NOT NULL,
    passed     int NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE gradata.alerts (
    name      text COLLATE "C" PRIMARY KEY,
    state     text NOT NULL,
    opened_at bigint NOT NULL,
    subject   bytea NOT NULL
);

-- What a webhook has still to be told.
CREATE TABLE gradata.notices (
    number     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    alert      text COLLATE "C" NOT NULL,
    attempts   int NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    due_at     bigint NOT NULL,
    body       bytea NOT NULL
);
CREATE INDEX notices_of_alert ON gradata.notices (alert, number);
