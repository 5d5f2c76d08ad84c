"""The ingest server: stores logs byte for byte, proves that it has them, and projects their events.

Layers, bottom up: `domain` decides (pure), `store` is the port for SQLite and PostgreSQL, `protocol` converts bytes to
domain values and back, `service` does the work between requests and store, `http` and `routes` serve it, `dashboard`
has the pages, `app`, `workers` and `server` assemble and run it. docs/architecture.md has the code map.
"""
