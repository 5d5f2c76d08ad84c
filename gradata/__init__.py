"""Record corrections durably on local disk and replicate them to the cloud.

`from gradata import Brain` is the entry point. Importing this package loads nothing else, neither SQLite nor any
dependency, until a name is used: hosts that might not need it pay nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradata.brain.brain import Brain as Brain
    from gradata.errors import BrainNotFoundError as BrainNotFoundError
    from gradata.errors import EventError as EventError
    from gradata.errors import GradataError as GradataError
    from gradata.errors import ProjectionError as ProjectionError
    from replicator import __version__ as __version__
    from replicator.errors import AppendError as AppendError

_HOMES = {
    "AppendError": "replicator.errors",
    "Brain": "gradata.brain.brain",
    "BrainNotFoundError": "gradata.errors",
    "EventError": "gradata.errors",
    "GradataError": "gradata.errors",
    "ProjectionError": "gradata.errors",
    "__version__": "replicator",
}

__all__ = [
    "AppendError",
    "Brain",
    "BrainNotFoundError",
    "EventError",
    "GradataError",
    "ProjectionError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
