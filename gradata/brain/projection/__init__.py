"""`system.db`: the log projected into tables for queries. It can always be rebuilt from the log."""
