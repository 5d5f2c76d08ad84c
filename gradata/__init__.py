"""Brains that replicate: every correction is on this machine's disk first, and in the cloud soon after.

`from gradata import Brain` is the whole of it. Importing this package loads nothing else: neither SQLite nor
any dependency, until a name is used, so that hosts that only may need it pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradata.brain.brain import Brain as Brain
    from gradata.errors import BrainNotFoundError as BrainNotFoundError
    from gradata.errors import GradataError as GradataError

__all__ = ["Brain", "BrainNotFoundError", "GradataError"]


def __getattr__(name: str) -> object:
    """The public names, each loaded when first asked for (PEP 562)."""
    if name == "Brain":
        from gradata.brain.brain import Brain  # here, not above: it brings SQLite and orjson

        return Brain
    if name in __all__:
        from gradata import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
