-- What is taken away on purpose: brains deleted, records erased, bytes older than a brain keeps them.
--
-- A record whose bytes are gone has record NULL and a flag that says why: 'erased' or 'expired'. A hole has no flag.
-- An event that is gone keeps event_id, content and stored_at, so that it is known when it comes again.

ALTER TABLE gradata.brains ADD COLUMN deleted_at bigint;
ALTER TABLE gradata.brains ADD COLUMN gone bigint NOT NULL DEFAULT 0;     -- events that are gone
ALTER TABLE gradata.brains ADD COLUMN erased bigint NOT NULL DEFAULT 0;   -- rows in `erased`
ALTER TABLE gradata.brains ADD COLUMN expired bigint NOT NULL DEFAULT 0;  -- number of the last event that has expired
ALTER TABLE gradata.brains ADD COLUMN retain_us bigint;                   -- how long bytes are kept; NULL: for ever
ALTER TABLE gradata.logs ADD COLUMN expired bigint NOT NULL DEFAULT 0;    -- records before this one have expired
ALTER TABLE gradata.events ADD COLUMN gone text;

-- Contents that are not taken again.
CREATE TABLE gradata.erased (
    brain_key bigint NOT NULL,
    content   bytea NOT NULL,
    erased_at bigint NOT NULL,
    PRIMARY KEY (brain_key, content)
);

DROP INDEX gradata.holes;
CREATE INDEX holes ON gradata.records (brain_key, log_key) WHERE record IS NULL AND flag IS NULL;
