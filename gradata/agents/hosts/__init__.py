"""One module for each host: its files, the entries that we write there, and whether it runs them.

A name that a host does not know is never written: it would be ignored in silence, which is how a fleet once stayed
behind for five days. Each module names the version of the host that was run to see it; what was only read says so.
"""
