"""Values that are made for every event: frozen to the type checker, plain to the interpreter.

A frozen dataclass sets each field through `object.__setattr__`, which took a twentieth of all the time of an ingest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_Class]) -> type[_Class]:
    """As `dataclass(frozen=True, slots=True)`, but that only the type checker holds it frozen."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
