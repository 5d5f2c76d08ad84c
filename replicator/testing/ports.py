"""Sidecar, waker and lease without disk, threads or time.

They keep the contracts of `replicator.sidecar`, `replicator.waker` and `replicator.lease`; tests/contract runs one
suite against fake and real sidecars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from replicator.actions import ResetOrder
from replicator.errors import SidecarError
from replicator.model import DeadLetter, Standing
from replicator.sidecar import DEAD_LETTERS_READ_MAX, KeptDeadLetter, PendingOrders
from replicator.testing.clock import ManualClock


class MemorySidecar:
    """`sidecar.Sidecar` without a disk: what is saved stands in `rows`, which outlives it as a file would.

    `MemorySidecar(other.rows)` is the next process. While `failing` is a text, each call raises SidecarError with it.
    """

    def __init__(self, rows: SidecarRows | None = None) -> None:
        self.rows = rows if rows is not None else SidecarRows()
        self.failing: str | None = None
        self.set_aside: str | None = None
        self._closed = False

    def load(self) -> Standing | None:
        return self._usable().standing

    def save(
        self,
        standing: Standing,
        dead_letters: Sequence[DeadLetter] = (),
        *,
        status: bytes | None = None,
        done_reset: int = 0,
    ) -> ResetOrder | None:
        rows = self._usable()
        rows.standing = standing
        for letter in dead_letters:
            known = [kept.id for kept in rows.letters.values() if _place_of(kept.letter) == _place_of(letter)]
            rows.last_letter += not known
            number = known[0] if known else rows.last_letter
            rows.letters[number] = KeptDeadLetter(number, "", letter, "dead")
        if status is not None:
            rows.status = status
        rows.resets = {number: reset for number, reset in rows.resets.items() if number > done_reset}
        return self._newest()

    def save_status(self, status: bytes) -> None:
        self._usable().status = status

    def status(self) -> bytes | None:
        return self._usable().status

    def asked(self) -> PendingOrders | None:
        letters = self.dead_letters(limit=len(self._usable().letters))
        retries = tuple(kept for kept in letters if kept.state == "retry")[:DEAD_LETTERS_READ_MAX]
        reset = self._newest()
        return PendingOrders(reset, retries) if reset or retries else None

    def ask_reset(self, reset: ResetOrder) -> int:
        rows = self._usable()
        rows.last_reset += 1
        rows.resets[rows.last_reset] = replace(reset, id=rows.last_reset)
        return rows.last_reset

    def reset_done(self, reset_id: int) -> bool:
        rows = self._usable()
        if reset_id > rows.last_reset:
            raise SidecarError(f"order {reset_id} is lost", hint="give the order again")
        return reset_id not in rows.resets

    def dead_letters(self, *, after: int = 0, limit: int = DEAD_LETTERS_READ_MAX) -> list[KeptDeadLetter]:
        letters = self._usable().letters
        return [letters[number] for number in sorted(letters) if number > after][:limit]

    def dead_letter_count(self) -> int:
        return len(self._usable().letters)

    def mark_retry(self, ids: Iterable[int]) -> int:
        letters = self._usable().letters
        found = [number for number in ids if number in letters]
        letters.update({number: replace(letters[number], state="retry") for number in found})
        return len(found)

    def drop_dead_letters(self, ids: Iterable[int]) -> int:
        letters = self._usable().letters
        return sum(letters.pop(number, None) is not None for number in ids)

    def hold(self) -> bool:
        return True

    def let_go(self) -> None: ...

    def abandon(self) -> None: ...

    def close(self) -> None:
        self._closed = True

    def _newest(self) -> ResetOrder | None:
        return self.rows.resets[max(self.rows.resets)] if self.rows.resets else None

    def _usable(self) -> SidecarRows:
        if self._closed or self.failing is not None:
            raise SidecarError(
                f"the sidecar cannot be used: {self.failing or 'it was closed'}", hint="let it work again"
            )
        return self.rows


@dataclass(slots=True)
class SidecarRows:
    """What a MemorySidecar makes durable. Copy it (`copy.deepcopy`) to restore it later, as from a backup."""

    standing: Standing | None = None
    status: bytes | None = None
    letters: dict[int, KeptDeadLetter] = field(default_factory=dict)
    resets: dict[int, ResetOrder] = field(default_factory=dict)
    last_letter: int = 0
    last_reset: int = 0


def _place_of(letter: DeadLetter) -> tuple[str, int]:
    return letter.log_id, letter.record


class ManualWaker:
    """`waker.Waker` without threads: `waits` holds each timeout asked for, and `wait` returns at once.

    With a clock, a wait that nobody woke moves it forward by its timeout.
    """

    watching = False

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.waits: list[float | None] = []
        self._clock = clock
        self._woken = False

    def wake(self) -> None:
        self._woken = True

    def wait(self, timeout_s: float | None) -> bool:
        self.waits.append(timeout_s)
        woken, self._woken = self._woken, False
        if self._clock is not None and not woken:
            self._clock.advance(timeout_s or 0.0)
        return woken

    def abandon(self) -> None: ...

    def close(self) -> None:
        self._woken = True


class FreeLease:
    """`lease.Lease` without a file: taken by whoever asks, unless `taken_by_other`, which may change at any time."""

    def __init__(self, *, taken_by_other: bool = False) -> None:
        self.taken_by_other = taken_by_other
        self._held = False

    def acquire(self) -> bool:
        self._held = not self.taken_by_other
        return self._held

    def holds(self) -> bool:
        return self._held and not self.taken_by_other

    def release(self) -> None:
        self._held = False

    def abandon(self) -> None:
        self._held = False
