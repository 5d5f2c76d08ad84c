"""The names of the published SDK's exceptions, for `except` clauses that are written already.

    BrainError = ReplicatorError              all of ours
    ├── BrainNotFoundError                    gradata.errors
    ├── EventPersistenceError = AppendError   the log did not take the event
    ├── ValidationError = EventError          the event cannot be written; also a ValueError
    └── EmbeddingError, ExportError, TaxonomyError   never raised: nothing is embedded, exported or classified by tags

New code uses `gradata.errors` and `replicator.errors`.
"""

from __future__ import annotations

from gradata.errors import BrainNotFoundError, EventError, GradataError
from replicator.errors import AppendError, ReplicatorError

BrainError = ReplicatorError
EventPersistenceError = AppendError
ValidationError = EventError


class EmbeddingError(GradataError):
    """Never raised here."""


class ExportError(GradataError):
    """Never raised here."""


class TaxonomyError(GradataError):
    """Never raised here."""


__all__ = [
    "BrainError",
    "BrainNotFoundError",
    "EmbeddingError",
    "EventPersistenceError",
    "ExportError",
    "TaxonomyError",
    "ValidationError",
]
