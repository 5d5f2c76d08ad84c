"""Fakes of the ports, for tests of replication and of programs that embed it: shipped, documented, supported.

`SimDisk` is a disk that loses power, fills up and fails; `ManualClock` is time that moves when told to;
`MemorySidecar`, `ManualWaker` and `FreeLease` stand for the files and threads beside the log; `MemoryLog` for the log
itself; `MemoryCloud` behind a `MemorySink` for the cloud and the way there, with a `Fault` for each request if wanted;
`MemoryReplica` for what is read back. `chaos.Chaos` is a network that misbehaves, for real sockets.
Together the fakes let an `engine.Engine` run without files, threads, network or time.
"""

from replicator.testing.clock import ManualClock
from replicator.testing.cloud import MemoryCloud
from replicator.testing.disk import SimDisk
from replicator.testing.log import MemoryLog
from replicator.testing.ports import FreeLease, ManualWaker, MemorySidecar, SidecarRows
from replicator.testing.replica import MemoryReplica
from replicator.testing.sink import Fault, MemorySink

__all__ = [
    "Fault",
    "FreeLease",
    "ManualClock",
    "ManualWaker",
    "MemoryCloud",
    "MemoryLog",
    "MemoryReplica",
    "MemorySidecar",
    "MemorySink",
    "SidecarRows",
    "SimDisk",
]
