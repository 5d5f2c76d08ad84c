"""Durable, verifiable replication of an append-only log of lines, embedded in a Python program.

    from replicator import DeliverySink, Replicator

    replicator = Replicator("app.jsonl", endpoint="our-store", open_sink=lambda: DeliverySink(deliver))
    replicator.start()

`Replicator` is the engine in a thread. `HttpSink` speaks the protocol to the cloud, `DeliverySink` calls a function of
yours. `LogWriter` appends to the log. `dead_letters`, `retry_dead_letter`, `drop_dead_letters`, `plan_reset` and
`order_reset` are for commands. All errors derive from `ReplicatorError` (`replicator.errors`).

Importing this package loads nothing else: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "1.0.0.dev0"

if TYPE_CHECKING:
    from replicator.errors import AppendError as AppendError
    from replicator.errors import CloudError as CloudError
    from replicator.errors import ConfigurationError as ConfigurationError
    from replicator.errors import CursorError as CursorError
    from replicator.errors import LogError as LogError
    from replicator.errors import NotDurableError as NotDurableError
    from replicator.errors import RecordRefusedError as RecordRefusedError
    from replicator.errors import ReplicatorError as ReplicatorError
    from replicator.errors import SidecarError as SidecarError
    from replicator.log import Appended as Appended
    from replicator.log import LogWriter as LogWriter
    from replicator.loop import Drained as Drained
    from replicator.loop import Replicator as Replicator
    from replicator.model import DeadLetter as DeadLetter
    from replicator.model import Identity as Identity
    from replicator.model import Policy as Policy
    from replicator.recovery import dead_letters as dead_letters
    from replicator.recovery import drop_dead_letters as drop_dead_letters
    from replicator.recovery import order_reset as order_reset
    from replicator.recovery import plan_reset as plan_reset
    from replicator.recovery import retry_dead_letter as retry_dead_letter
    from replicator.sidecar import KeptDeadLetter as KeptDeadLetter
    from replicator.sink import Delivery as Delivery
    from replicator.sink import DeliverySink as DeliverySink
    from replicator.sink import HttpSink as HttpSink
    from replicator.sink import Sink as Sink
    from replicator.status import Notice as Notice
    from replicator.status import State as State
    from replicator.status import Status as Status

_HOMES = {
    "AppendError": "errors",
    "Appended": "log",
    "CloudError": "errors",
    "ConfigurationError": "errors",
    "CursorError": "errors",
    "DeadLetter": "model",
    "Delivery": "sink",
    "DeliverySink": "sink",
    "Drained": "loop",
    "HttpSink": "sink",
    "Identity": "model",
    "KeptDeadLetter": "sidecar",
    "LogError": "errors",
    "LogWriter": "log",
    "NotDurableError": "errors",
    "Notice": "status",
    "Policy": "model",
    "RecordRefusedError": "errors",
    "Replicator": "loop",
    "ReplicatorError": "errors",
    "SidecarError": "errors",
    "Sink": "sink",
    "State": "status",
    "Status": "status",
    "dead_letters": "recovery",
    "drop_dead_letters": "recovery",
    "order_reset": "recovery",
    "plan_reset": "recovery",
    "retry_dead_letter": "recovery",
}

__all__ = [
    "AppendError",
    "Appended",
    "CloudError",
    "ConfigurationError",
    "CursorError",
    "DeadLetter",
    "Delivery",
    "DeliverySink",
    "Drained",
    "HttpSink",
    "Identity",
    "KeptDeadLetter",
    "LogError",
    "LogWriter",
    "NotDurableError",
    "Notice",
    "Policy",
    "RecordRefusedError",
    "Replicator",
    "ReplicatorError",
    "SidecarError",
    "Sink",
    "State",
    "Status",
    "__version__",
    "dead_letters",
    "drop_dead_letters",
    "order_reset",
    "plan_reset",
    "retry_dead_letter",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"replicator.{home}"), name)
