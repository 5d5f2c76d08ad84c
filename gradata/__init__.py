"""Record corrections durably on local disk and replicate them to the cloud.

`from gradata import Brain` is the entry point. Importing this package loads nothing else, neither SQLite nor any
dependency, until a name is used: hosts that might not need it pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradata.brain.brain import Brain as Brain
    from gradata.errors import BrainNotFoundError as BrainNotFoundError
    from gradata.errors import GradataError as GradataError

__all__ = ["Brain", "BrainNotFoundError", "GradataError"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name == "Brain":
        from gradata.brain.brain import Brain  # here, not above: it brings SQLite and orjson

        return Brain
    if name in __all__:
        from gradata import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
