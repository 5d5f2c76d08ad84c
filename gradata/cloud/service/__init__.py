"""The work of the server between requests and store: group commit, keys, deletion, scrub, fleet, alerts."""
