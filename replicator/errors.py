"""The exceptions of replicator, each with a hint: what a person can run or change to mend it.

    ReplicatorError
    ├── ConfigurationError     something that a person set cannot work: endpoint, key, limits
    ├── LogError               the log cannot be used: it is a directory, a symlink, unreadable
    │   ├── AppendError        the record was not written; the log holds no part of it
    │   └── NotDurableError    the record stands in the log, but the disk refused to say that it is durable
    ├── CursorError            an offset or event that is no place in this log
    ├── SidecarError           the sidecar cannot be read or written
    ├── RecordRefusedError     raised by a sink's own function: this record will never do (`sink.DeliverySink`)
    ├── CloudError             the cloud did not answer what a person asked it, or not in the protocol's words
    └── WireError              a request or answer that is not of the protocol (`replicator.wire`)

Operating conditions (an unreachable cloud, a rotated key) are values, not exceptions: see `progress`.
Any other exception that leaves this package is a bug.

No message may hold a key, a text of a record, or a header: they end in logs that people share.
"""

from __future__ import annotations


class ReplicatorError(Exception):
    """Base of all errors raised on purpose. `hint` is one line: the command or change that mends it.

    `code` names the cause where a program can say better than `hint` what mends it; "" where it cannot.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class ConfigurationError(ReplicatorError):
    """A setting cannot work as it stands; nothing was attempted."""


class LogError(ReplicatorError):
    """The log cannot be opened or read as a log."""


class AppendError(LogError):
    """The record was not appended, and no part of it remains in the log."""


class NotDurableError(LogError):
    """The record was appended, but syncing failed: it may not survive a power cut. It ships all the same."""


class CursorError(ReplicatorError):
    """A wanted place is not the start of a record of this log."""


class SidecarError(ReplicatorError):
    """The sidecar database cannot be used now."""


class RecordRefusedError(ReplicatorError):
    """A record that its destination will never take. `index` counts within the delivery, from 0.

    The message stands in the dead letter: it must hold no text of the record.
    """

    def __init__(self, index: int, message: str = "refused") -> None:
        super().__init__(message)
        self.index = index


class CloudError(ReplicatorError):
    """What a person asked the cloud was not answered. `status` is the HTTP status, 0 where nothing came back.

    Only for commands that a person waits for: to the replicator an unreachable cloud is a value (`actions`).
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status


class WireError(ReplicatorError):
    """Bytes that are not of the protocol.

    `status` and `code` are what a server answers to it (PROTOCOL.md, "Statuses"); a client treats an answer
    that raises this as no answer. `record` is the number of the record at fault, where one is.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "malformed", record: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.record = record
