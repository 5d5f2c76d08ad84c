"""DeliverySink: any function as a destination, through the engine with fakes for everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicator.engine import Engine, EnginePorts
from replicator.errors import RecordRefusedError
from replicator.model import Policy
from replicator.sink import Delivery, DeliverySink
from replicator.testing import ManualClock, ManualWaker, MemoryLog, MemorySidecar

RECORDS = [b'{"n": %d}\n' % number for number in range(40)]


class Place:
    """A destination that keeps what it was given, and fails as told."""

    def __init__(self, fails: Callable[[Delivery], Exception | None] = lambda _: None) -> None:
        self.kept: dict[tuple[str, int], bytes] = {}
        self.calls = 0
        self._fails = fails

    def __call__(self, delivery: Delivery) -> None:
        self.calls += 1
        error = self._fails(delivery)
        if error is not None:
            raise error
        for place, record in enumerate(delivery.records):
            self.kept[delivery.log_id, delivery.first + place] = record

    @property
    def records(self) -> list[bytes]:
        """In the order of their numbers."""
        return [record for _, record in sorted((number, record) for (_, number), record in self.kept.items())]


def replicated(place: Place, steps: int = 400) -> tuple[Engine, MemorySidecar]:
    """An engine that went through `RECORDS` and waits."""
    clock = ManualClock()
    log, sidecar = MemoryLog(*RECORDS), MemorySidecar()
    ports = EnginePorts(log, sidecar, DeliverySink(place), ManualWaker(clock), clock)
    engine = Engine(ports, None, endpoint="here", policy=Policy(), jitter=lambda: 0.5)
    for _ in range(steps):
        engine.step()
    return engine, sidecar


def test_everything_is_delivered_once_and_in_order() -> None:
    """What the function returned for is acknowledged, and the cursor stands behind it."""
    place = Place()
    engine, _ = replicated(place)
    assert place.records == RECORDS
    assert engine.status.size == len(RECORDS)
    assert engine.status.state == "live"


def test_an_oserror_is_tried_again_for_ever() -> None:
    """F29: a destination that is away holds nothing but the cursor back."""
    down = iter([ConnectionRefusedError(111, "Connection refused"), TimeoutError(), OSError(28, "No space left")])
    place = Place(lambda _: next(down, None))
    engine, _ = replicated(place)
    assert place.calls > 3
    assert place.records == RECORDS
    assert engine.status.trouble is None


def test_a_refused_record_becomes_a_dead_letter_and_its_neighbours_go_on() -> None:
    """F35: only the one that is named is kept back."""

    def refuse(delivery: Delivery) -> Exception | None:
        return RecordRefusedError(delivery.records.index(RECORDS[7]), "no") if RECORDS[7] in delivery.records else None

    place = Place(refuse)
    _, sidecar = replicated(place)
    assert place.records == [record for record in RECORDS if record != RECORDS[7]]
    assert [(kept.letter.record, kept.letter.detail) for kept in sidecar.dead_letters()] == [(7, "no")]


def test_f35_a_record_that_is_taken_after_all_is_delivered_in_its_order() -> None:
    """Refused among others, but not alone: nothing behind it is delivered before it."""
    place = Place(
        lambda delivery: (
            RecordRefusedError(delivery.records.index(RECORDS[7]), "no")
            if RECORDS[7] in delivery.records and len(delivery.records) > 1
            else None
        )
    )
    replicated(place)
    assert list(place.kept.values()) == RECORDS


def test_any_other_exception_is_not_swallowed() -> None:
    """A bug in the function reaches the thread's last line of defence, and no record is passed over."""

    def fail(_: Delivery) -> Exception:
        return KeyError("bug")

    with pytest.raises(KeyError):
        replicated(Place(fail))


def test_the_number_of_a_record_is_its_name_for_ever() -> None:
    """A delivery's first number goes on where the one before ended, so an upsert makes it exactly once."""
    seen: list[tuple[int, int]] = []

    def note(delivery: Delivery) -> None:
        seen.append((delivery.first, len(delivery.records)))

    replicated(Place(note))
    assert [first for first, _ in seen] == [sum(count for _, count in seen[:place]) for place in range(len(seen))]
    assert sum(count for _, count in seen) == len(RECORDS)
