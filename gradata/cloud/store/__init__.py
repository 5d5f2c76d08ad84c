"""The store: the port, its values, and the implementations on SQLite and PostgreSQL."""
