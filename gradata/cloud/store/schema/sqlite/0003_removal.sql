-- What is taken away on purpose: brains deleted, records erased, bytes older than a brain keeps them.
--
-- A record whose bytes are gone has record NULL and a flag that says why: 'erased' or 'expired'. A hole has no flag.
-- An event that is gone keeps event_id, content and stored_at, so that it is known when it comes again.

ALTER TABLE brains ADD COLUMN deleted_at INTEGER;
ALTER TABLE brains ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;        -- events that are gone
ALTER TABLE brains ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;      -- rows in `erased`
ALTER TABLE brains ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;     -- number of the last event that has expired
ALTER TABLE brains ADD COLUMN retain_us INTEGER;                      -- how long bytes are kept; NULL: for ever
ALTER TABLE logs ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;       -- records before this one have expired
ALTER TABLE events ADD COLUMN gone TEXT;

-- Contents that are not taken again.
CREATE TABLE erased (
    brain_key INTEGER NOT NULL,
    content   BLOB NOT NULL,
    erased_at INTEGER NOT NULL,
    PRIMARY KEY (brain_key, content)
) WITHOUT ROWID;

DROP INDEX holes;
CREATE INDEX holes ON records (place) WHERE record IS NULL AND flag IS NULL;
