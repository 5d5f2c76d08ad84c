"""The server's work between requests and store: group commit, keys, deletion, retention, scrub, fleet state, alerts,
feed.

May call the store, keep time and run background tasks; knows no HTTP.
"""
