"""The exceptions of replicator, each with a hint: what a person can run or change.

    ReplicatorError
    ├── ConfigurationError     a setting is invalid: endpoint, key, limits
    ├── LogError               the log cannot be used: it is a directory, a symlink, unreadable
    │   ├── AppendError        the record was not written; no part of it is in the log
    │   └── NotDurableError    the record is in the log, but the disk did not confirm that it is durable
    ├── CursorError            an offset or event that is not in this log
    ├── SidecarError           the sidecar cannot be read or written
    ├── RecordRefusedError     raised by a delivery function: this record will never be accepted (`sink.DeliverySink`)
    ├── CloudError             the cloud did not answer a command, or not according to the protocol
    └── WireError              a request or answer that violates the protocol (`replicator.wire`)

Operating conditions (an unreachable cloud, a rotated key) are values, not exceptions: see `progress`. Any other
exception that leaves this package is a bug.

No message contains a key, a text of a record or a header: messages end up in logs that people share.
"""

from __future__ import annotations


class ReplicatorError(Exception):
    """Base class of all errors of this package. `hint` is one line: the command or change that fixes it.

    `code` names the cause, for programs that have a better hint; "" if there is none.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class ConfigurationError(ReplicatorError):
    """A setting is invalid; nothing was attempted."""


class LogError(ReplicatorError):
    """The log cannot be opened or read as a log."""


class AppendError(LogError):
    """The record was not appended, and no part of it is in the log."""


class NotDurableError(LogError):
    """The record was appended, but syncing failed: it may not survive a power cut. It is replicated all the same."""


class CursorError(ReplicatorError):
    """A requested position is not the start of a record of this log."""


class SidecarError(ReplicatorError):
    """The sidecar database cannot be used now."""


class RecordRefusedError(ReplicatorError):
    """The destination will never accept this record. `index` counts within the delivery, from 0.

    The message is kept in the dead letter: it must not contain text of the record.
    """

    def __init__(self, index: int, message: str = "refused") -> None:
        super().__init__(message)
        self.index = index


class CloudError(ReplicatorError):
    """A request that a person waits for was not answered. `status` is the HTTP status, 0 without an answer.

    Only for commands: for the replicator an unreachable cloud is a value (`actions`).
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status


class WireError(ReplicatorError):
    """Bytes that violate the protocol.

    `status` and `code` are the server's answer (docs/protocol.md, "Statuses"); a client treats an answer that raises
    this as no answer. `record` is the number of the record at fault, if there is one.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "malformed", record: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.record = record
