"""Frozen values of values, changed in one call: `changed(p, retry__failures=3)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def changed(value: Any, **fields: Any) -> Any:
    """The value with these fields; `group__field` is a field of the value in its field `group`."""
    for name, field in fields.items():
        group, _, inner = name.partition("__")
        value = replace(value, **{group: changed(getattr(value, group), **{inner: field}) if inner else field})
    return value
