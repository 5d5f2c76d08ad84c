"""The programs that an agent's host runs: capture an edit, recall corrections, close a session.

Each is a short-lived process that the host waits for: it imports what it needs and no more, never fails the host, and
prints nothing that a host could take for an order. `reading` understands what hosts say; `capture`, `recall` and
`session_close` do the work; `program` is around them all and keeps the record that each ran (`agents.fired`).
"""
