"""The programs that an agent's host runs: capture a person's edits, recall corrections, close a session.

Each is a short-lived process that the host waits for: it imports what it needs and no more, never fails the host, and
prints nothing that a host could take for an order. `program` is around them all and keeps the record that each ran
(`agents.fired`). `payloads` has one reader of stdin for each host and turns what it says into a `host_call`.
`capture` follows the calls: `written_files` keeps what an agent wrote, `person_edits` decides what a person made of it
(pure, with `line_diff`), `recording` appends that to the log.
"""
