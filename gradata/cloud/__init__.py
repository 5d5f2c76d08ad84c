"""The ingest server: what takes a log's records, keeps them byte for byte, and proves that it has them.

`app` has the routes, `service` turns bodies into requests and decisions into answers, `ingest` decides what a
transaction commits (pure), `store` is the port behind which SQLite or PostgreSQL stands.
"""
