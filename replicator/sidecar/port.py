"""The sidecar's interface for the loop, and its values: no SQL, no files.

The contract is in the docstrings of `store.Sidecar` and in tests/contract; `replicator.testing` has the fake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from replicator.actions import ResetOrder
from replicator.model import DeadLetter, Standing

DEAD_LETTERS_READ_MAX = 1_000
"""Maximum number of dead letters that one call returns."""


@dataclass(frozen=True, slots=True)
class KeptDeadLetter:
    """A dead letter in the sidecar. `at` is UTC, for display; `retry`: a person wants it resent."""

    id: int
    at: str
    letter: DeadLetter
    state: Literal["dead", "retry"]


@dataclass(frozen=True, slots=True)
class PendingOrders:
    """Orders for the leader: the newest reset, and the oldest dead letters marked for a retry."""

    reset: ResetOrder | None = None
    retries: tuple[KeptDeadLetter, ...] = ()


class SidecarPort(Protocol):
    """The part of a sidecar that the loop uses; `replicator.testing.MemorySidecar` is the fake."""

    set_aside: str | None

    def load(self) -> Standing | None: ...
    def save(
        self,
        standing: Standing,
        dead_letters: Sequence[DeadLetter] = (),
        *,
        status: bytes | None = None,
        done_reset: int = 0,
    ) -> ResetOrder | None: ...
    def save_status(self, status: bytes) -> None: ...
    def status(self) -> bytes | None: ...
    def asked(self) -> PendingOrders | None: ...
    def ask_reset(self, reset: ResetOrder) -> int: ...
    def reset_done(self, reset_id: int) -> bool: ...
    def dead_letters(self, *, after: int = 0, limit: int = DEAD_LETTERS_READ_MAX) -> list[KeptDeadLetter]: ...
    def dead_letter_count(self) -> int: ...
    def mark_retry(self, ids: Iterable[int]) -> int: ...
    def drop_dead_letters(self, ids: Iterable[int]) -> int: ...
    def hold(self) -> bool: ...
    def let_go(self) -> None: ...
    def abandon(self) -> None: ...
    def close(self) -> None: ...
