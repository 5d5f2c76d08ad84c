"""Who a request is from, after its key was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from."""

    prefix: str
    workspace: str
    scopes: frozenset[str]
    brains: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        """Whether the key has the scope; `admin` includes the others."""
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, brain_id: str) -> bool:
        """Whether the key is good for this brain, as far as the key says."""
        return not self.brains or brain_id in self.brains


@dataclass(frozen=True, slots=True)
class Unknown:
    """No key, or none that works. `prefix` and `brains`: of a key whose secret is right, and that works no more."""

    prefix: str = ""
    brains: frozenset[str] = frozenset()

    def reached(self, brain_id: str) -> bool:
        """Whether the key was good for this brain, as far as the key says."""
        return not self.brains or brain_id in self.brains
