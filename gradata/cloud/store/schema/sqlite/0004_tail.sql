-- The last hashes of a log's tree, which are not in a tile yet: at most 31, written with the head, which changes anyway.
-- A tile has 256 hashes: to write it anew for each event cost more than the event.

ALTER TABLE logs ADD COLUMN tail BLOB NOT NULL DEFAULT x'';
