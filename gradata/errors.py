"""The exceptions of gradata, each with a hint: what a person can run or change to mend it.

    ReplicatorError (replicator.errors)
    └── GradataError
        ├── BrainNotFoundError     no brain at this path; nothing was created
        ├── BrainDirectoryError    the directory is there, but cannot be used as a brain
        ├── EventError             an event that cannot be written as one line of JSON; nothing was written
        ├── CloudAnswerError       a cloud did not answer what was asked
        └── ProjectionError        system.db cannot be read; the log is whole, and the projection can be rebuilt

What the log itself refuses comes as `replicator.errors.LogError` and those below it; a wrong argument of
`correct` is a ValueError, as it always was.
"""

from __future__ import annotations

from replicator.errors import ReplicatorError


class GradataError(ReplicatorError):
    """Base of all errors that gradata raises on purpose."""


class BrainNotFoundError(GradataError):
    """There is no brain directory at this path."""


class BrainDirectoryError(GradataError):
    """The brain directory cannot be used as it is: its ids cannot be read or written."""


class EventError(GradataError, ValueError):
    """The event cannot become one line of JSON. Neither the log nor the projection holds any of it."""


class CloudAnswerError(GradataError):
    """The cloud does not answer, or not what was asked. Nothing was changed."""


class ProjectionError(GradataError):
    """system.db cannot be used now. Nothing is lost: it holds only what the log says."""
