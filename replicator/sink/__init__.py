"""The destination of records: the Sink port; HttpSink, which speaks the protocol to the cloud; DeliverySink, which
calls a function.

`endpoint` checks URLs and keys. `carrier` transports one request within one deadline, whatever the network does. `http`
turns actions into requests and answers into outcomes, using `replicator.wire`. What follows from an outcome is decided
in `replicator.progress`. httpx is imported when a sink is created, not before: `import replicator` must stay light.
"""

from replicator.sink.delivery import Delivery, DeliverySink
from replicator.sink.endpoint import check_endpoint, check_key, environment_proxy, is_loopback
from replicator.sink.http import HttpSink, Sink, Timeouts

__all__ = [
    "Delivery",
    "DeliverySink",
    "HttpSink",
    "Sink",
    "Timeouts",
    "check_endpoint",
    "check_key",
    "environment_proxy",
    "is_loopback",
]
