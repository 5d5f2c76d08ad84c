"""Durable, proven replication of an append-only log of lines, embedded in a Python program.

    from replicator import DeliverySink, Replicator

    replicator = Replicator("app.jsonl", endpoint="our-store", open_sink=lambda: DeliverySink(deliver))
    replicator.start()

`Replicator` is the engine in a thread; `HttpSink` speaks the protocol to the cloud, `DeliverySink` calls a function of
yours. Importing this package loads nothing else: each name is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicator.errors import RecordRefusedError as RecordRefusedError
    from replicator.errors import ReplicatorError as ReplicatorError
    from replicator.log import LogWriter as LogWriter
    from replicator.loop import Drained as Drained
    from replicator.loop import Replicator as Replicator
    from replicator.model import Identity as Identity
    from replicator.model import Policy as Policy
    from replicator.sink import Delivery as Delivery
    from replicator.sink import DeliverySink as DeliverySink
    from replicator.sink import HttpSink as HttpSink
    from replicator.sink import Sink as Sink
    from replicator.status import Notice as Notice
    from replicator.status import Status as Status

_HOMES = {
    "Delivery": "sink",
    "DeliverySink": "sink",
    "Drained": "loop",
    "HttpSink": "sink",
    "Identity": "model",
    "LogWriter": "log",
    "Notice": "status",
    "Policy": "model",
    "RecordRefusedError": "errors",
    "Replicator": "loop",
    "ReplicatorError": "errors",
    "Sink": "sink",
    "Status": "status",
}

__all__ = [
    "Delivery",
    "DeliverySink",
    "Drained",
    "HttpSink",
    "Identity",
    "LogWriter",
    "Notice",
    "Policy",
    "RecordRefusedError",
    "Replicator",
    "ReplicatorError",
    "Sink",
    "Status",
]


def __getattr__(name: str) -> object:
    """The public names, each loaded when first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"replicator.{home}"), name)
