"""The ingest server: what takes a log's records, keeps them byte for byte, and proves that it has them.

`app` has the routes, `protocol.parse` turns bodies into requests and decisions into answers, `domain.plan` decides what
a transaction commits (pure), `store` is the port behind which SQLite or PostgreSQL stands.
"""
