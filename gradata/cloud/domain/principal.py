"""The sender of a request, as determined from its key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a valid key: its workspace, scopes and brains."""

    prefix: str
    workspace: str
    scopes: frozenset[str]
    brains: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        """Whether the key has the scope; `admin` includes the others."""
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, brain_id: str) -> bool:
        """Whether the key may be used for this brain, as far as the key says."""
        return not self.brains or brain_id in self.brains


@dataclass(frozen=True, slots=True)
class Unknown:
    """No valid key. `prefix` and `brains` are set if the secret is right, but the key was revoked or has expired."""

    prefix: str = ""
    brains: frozenset[str] = frozenset()

    def reached(self, brain_id: str) -> bool:
        """Whether that key could be used for this brain."""
        return not self.brains or brain_id in self.brains
