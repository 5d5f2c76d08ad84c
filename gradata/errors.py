"""The exceptions of gradata, each with a hint: what a person can run or change.

    ReplicatorError (replicator.errors)
    └── GradataError
        ├── BrainNotFoundError     no brain at this path; nothing was created
        ├── BrainDirectoryError    the directory exists, but cannot be used as a brain
        ├── EventError             an event that cannot be written as one line of JSON; nothing was written
        ├── CloudAnswerError       a cloud did not answer, or not what was asked
        └── ProjectionError        system.db cannot be read; the log is intact, and the projection can be rebuilt

Errors of the log itself are `replicator.errors.LogError` and its subclasses. A wrong argument of `correct` is a
ValueError.
"""

from __future__ import annotations

from replicator.errors import ReplicatorError


class GradataError(ReplicatorError):
    """Base class of the errors of gradata."""


class BrainNotFoundError(GradataError):
    """There is no brain directory at this path."""


class BrainDirectoryError(GradataError):
    """The brain directory cannot be used as it is: its ids cannot be read or written."""


class EventError(GradataError, ValueError):
    """The event cannot be written as one line of JSON. Neither the log nor the projection contains any of it."""


class CloudAnswerError(GradataError):
    """The cloud does not answer, or not with what was asked. Nothing was changed."""


class ProjectionError(GradataError):
    """system.db cannot be used now. Nothing is lost: it contains only what is in the log."""
