"""Take values of a known type out of a host's JSON object; a value of another type counts as absent. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

NAMES_MAX = 20
NAME_CHARACTERS_MAX = 40


def text(said: Mapping[str, Any], *names: str) -> str | None:
    """The first of these that is a text."""
    return next((value for name in names if isinstance(value := said.get(name), str)), None)


def inner(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An inner object; an empty one if there is none."""
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def each_of(said: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    value = said.get(name)
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def shape(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of an object's keys: what can be told of a form that is not understood without quoting a text."""
    return tuple(sorted(str(name)[:NAME_CHARACTERS_MAX] for name in said)[:NAMES_MAX])


def call_name(tool: str | None, given: Mapping[str, Any]) -> str:
    """A name for a call of a host that gives none: the same before and after, since the arguments are."""
    canonical = json.dumps([tool, given], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
