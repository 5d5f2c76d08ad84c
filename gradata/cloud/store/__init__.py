"""The store: the port, its values, and the implementations on SQLite and PostgreSQL.

May lock, read and write in transactions, and report that it is unavailable. Does not decide what is accepted: it calls
`domain.plan`.
"""
