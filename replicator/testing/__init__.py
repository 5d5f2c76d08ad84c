"""Fakes of the ports, for tests of replication and of programs that embed it: shipped, documented, supported.

`SimDisk` is a disk that loses power, fills up and fails; `ManualClock` is time that moves when told to.
"""

from replicator.testing.clock import ManualClock
from replicator.testing.disk import SimDisk

__all__ = ["ManualClock", "SimDisk"]
