"""Dataclasses for values that are created for every event: frozen for the type checker only.

A frozen dataclass sets each field through `object.__setattr__`, which took 5 % of the time of an ingest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_Class]) -> type[_Class]:
    """As `dataclass(frozen=True, slots=True)`, but only the type checker enforces immutability."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
