"""Where records go: the Sink port; HttpSink, which speaks the protocol to the cloud; DeliverySink, a function of yours.

I/O. `endpoint` says what may be an address or a key; `carrier` carries one request under one deadline, whatever
the network does; `http` turns actions into requests and answers into outcomes with `replicator.wire`. Nothing here
decides what follows from an outcome: that is `replicator.progress`. httpx is imported when a sink is made, not
before: `import replicator` must stay light.
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
