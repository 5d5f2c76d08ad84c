"""Fakes of the ports, for tests of replication and of programs that embed it: shipped, documented, supported.

`SimDisk` is a disk that loses power, fills up and fails; `ManualClock` is time that moves when told to;
`MemorySidecar`, `ManualWaker` and `FreeLease` stand for the files and threads beside the log.
"""

from replicator.testing.clock import ManualClock
from replicator.testing.disk import SimDisk
from replicator.testing.ports import FreeLease, ManualWaker, MemorySidecar, SidecarRows

__all__ = ["FreeLease", "ManualClock", "ManualWaker", "MemorySidecar", "SidecarRows", "SimDisk"]
