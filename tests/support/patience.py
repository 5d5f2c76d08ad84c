"""How long tests wait for what comes by itself.

No test measures speed: that is the work of benchmarks. These bounds end a test that would never end otherwise, so they
are far above what a busy machine needs, and only a failing test waits for so long.
"""

PATIENCE_S = 60.0
"""For whatever must happen at last."""
AT_ONCE_S = 20.0
"""For what must not wait for a time-out of 30 s or more."""
