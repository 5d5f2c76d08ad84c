"""What is tried under faults, and what must hold afterwards: append, correct, checkpoint, replicate.

Each path prepares a directory, does its thing in a forked child (`work`), and looks afterwards (`check`) with fresh
objects and no fault: nothing that was acknowledged is lost, no torn record is glued to another, and replication goes
on to the last byte in the generation that it was in. What the child was told stands in memory that outlives it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradata.brain.brain import Brain
from replicator.engine import Engine, EnginePorts
from replicator.errors import AppendError, LogError, NotDurableError, SidecarError
from replicator.log import LogReader, LogWriter
from replicator.model import Cursor, DeadLetter, Policy, Standing
from replicator.sidecar import Sidecar, sidecar_path
from replicator.testing import ManualClock, ManualWaker, MemoryCloud, MemorySidecar, MemorySink
from tests.faults.shared import PROMISES_MAX, Said, Shared

HERE = "https://here/api/v1"
LOG_ID = "01234567-89ab-4cde-8f01-23456789abcd"
STEPS_MAX = 2_000
TORN = b'{"type": "NOTE", "event_id": "torn", "text": "its writer died he'


def record(number: int, length: int = 700) -> bytes:
    """A record that is told from all others, and whose pieces are told from a record."""
    head = f'{{"type": "NOTE", "event_id": "e-{number}", "text": "'
    return (head + "x" * length + '"}\n').encode()


@dataclass(frozen=True, slots=True)
class Tried:
    """One path: its name, how it begins, what is tried, and what must hold."""

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path, Shared], Callable[[], None]]
    check: Callable[[Path, Shared], None]


# ---------------------------------------------------------------- append


def _append(log: Path, shared: Shared) -> Callable[[], None]:
    writer = LogWriter(str(log))

    def trial() -> None:
        for number in (10, 11):
            try:
                writer.append(record(number))
                shared.say(number, Said.DONE)
            except NotDurableError:
                shared.say(number, Said.UNSURE)
            except (AppendError, LogError):
                shared.say(number, Said.REFUSED)
        writer.close()

    return trial


def _check_append(log: Path, shared: Shared, before: bytes) -> None:
    data = log.read_bytes() if log.exists() else b""
    assert data.startswith(before), "what was there before is not there"
    _check_records(log, shared, [10, 11], known=[record(n) for n in range(3)] + [TORN + b"\n"])


def _check_records(log: Path, shared: Shared, numbers: list[int], known: list[bytes]) -> None:
    """Each promise kept, nothing glued; then a new record, and all of it replicated."""
    LogWriter(str(log)).append(record(99))
    lines = log.read_bytes().splitlines(keepends=True)
    assert lines[-1] == record(99), "the record behind the fault is not a line of its own"
    mine = [record(number) for number in numbers]
    for number, line in zip(numbers, mine, strict=True):
        said, there = shared.said(number), lines.count(line)
        assert there <= 1, f"record {number} stands there {there} times"
        assert there == 1 or said not in (Said.DONE, Said.UNSURE), f"LOST: record {number} was acknowledged"
        assert there == 0 or said is not Said.REFUSED, f"record {number} was refused, and is there"
    pieces = [line for line in lines if line not in mine and line not in known and line != record(99)]
    assert all(any(whole.startswith(piece[:-1]) for whole in mine) for piece in pieces), f"glued: {pieces}"
    check_replication(log, MemoryCloud())


def _small_log(log: Path) -> None:
    log.write_bytes(b"".join(record(number) for number in range(3)))


def _torn_log(log: Path) -> None:
    _small_log(log)
    with log.open("ab") as file:
        file.write(TORN)


def _torn() -> bytes:
    return b"".join(record(number) for number in range(3)) + TORN


# ---------------------------------------------------------------- correct


def _correct(log: Path, shared: Shared) -> Callable[[], None]:
    brain = Brain(log.parent, environ={"GRADATA_DISABLE_WRITE_THROUGH": "1", "HOME": str(log.parent)})

    def trial() -> None:
        for number in (1, 2):
            try:
                event = brain.emit("NOTE", "faults", {"number": number})
                shared.say(number, Said.DONE if event["durable"] else Said.UNSURE)
            except (AppendError, LogError):
                shared.say(number, Said.REFUSED)
        brain.close()

    return trial


def _brain(log: Path) -> None:
    Brain.init(log.parent, environ={"GRADATA_DISABLE_WRITE_THROUGH": "1", "HOME": str(log.parent)}).close()


def _check_correct(log: Path, shared: Shared) -> None:
    brain = Brain(log.parent, environ={"GRADATA_DISABLE_WRITE_THROUGH": "1", "HOME": str(log.parent)})
    brain.emit("NOTE", "faults", {"number": 99})
    lines = log.read_bytes().splitlines(keepends=True)
    found = [json.loads(line)["data"]["number"] for line in lines if line.endswith(b"}\n") and line[:1] == b"{"]
    assert found[-1] == 99
    for number in (1, 2):
        said, there = shared.said(number), found.count(number)
        assert there <= 1, f"event {number} stands there {there} times"
        assert there == 1 or said not in (Said.DONE, Said.UNSURE), f"LOST: event {number} was acknowledged"
        assert there == 0 or said is not Said.REFUSED, f"event {number} was refused, and is there"
    shown = [event["data"]["number"] for event in reversed(brain.query_events("NOTE"))]
    assert shown == found, f"the projection shows {shown}, the log has {found}"
    brain.close()
    check_replication(log, MemoryCloud())


# ---------------------------------------------------------------- checkpoint


def _standing(log: Path, size: int) -> Standing:
    lines = log.read_bytes().splitlines(keepends=True)[:size]
    reader = LogReader(str(log))
    there = reader.locate(log_id=LOG_ID, offset=sum(map(len, lines)))
    assert there.size == size
    return Standing(there, "cloud-1", HERE)


def _five(log: Path) -> None:
    log.write_bytes(b"".join(record(number) for number in range(8)))


def _saved_before(log: Path) -> None:
    _five(log)
    sidecar = Sidecar.open(sidecar_path(str(log)))
    sidecar.save(Standing(Cursor(LOG_ID), "cloud-1", HERE))
    sidecar.save(_standing(log, 2))
    sidecar.close()


def _checkpoint(log: Path, shared: Shared) -> Callable[[], None]:
    standings = {size: _standing(log, size) for size in (3, 5)}
    letter = DeadLetter(LOG_ID, 4, 1, 1, "refused", "the cloud would not have it")
    shared.keep(_cloud_with(log, 5))

    def trial() -> None:
        sidecar = Sidecar(sidecar_path(str(log)))
        try:
            sidecar.load()
        except SidecarError:
            shared.say(0, Said.REFUSED)
        for size, standing in standings.items():
            try:
                sidecar.save(standing, [letter] if size == 5 else [], status=b"{}")
                shared.say(size, Said.DONE)
            except SidecarError:
                shared.say(size, Said.REFUSED)
        sidecar.close()

    return trial


def _cloud_with(log: Path, size: int) -> MemoryCloud:
    """A cloud that has acknowledged the first `size` records."""
    lines = log.read_bytes().splitlines(keepends=True)[:size]
    return replicated(log.with_name("cloud.jsonl"), b"".join(lines))


def replicated(at: Path, content: bytes) -> MemoryCloud:
    """A cloud that has acknowledged all of this; `at` is written and removed."""
    at.write_bytes(content)
    cloud = MemoryCloud()
    _until_caught_up(_engine(at, cloud, None), len(content))
    at.unlink()
    return cloud


def _check_checkpoint(log: Path, shared: Shared, before: int) -> None:
    sidecar = Sidecar.open(sidecar_path(str(log)))
    found = sidecar.load()
    letters = sidecar.dead_letter_count() if found is not None else 0
    at = 0 if found is None else found.cursor.size
    kept = [size for size in (3, 5) if shared.said(size) is Said.DONE]
    assert sidecar.set_aside is None, f"a fault made the sidecar unusable: {sidecar.set_aside}"
    assert at >= max(kept, default=before), f"LOST: the cursor at {max(kept)} was saved, {at} is there"
    assert at in (before, 3, 5), f"a cursor that nobody saved: {at}"
    assert letters == (at == 5), "the dead letter and its cursor are one transaction"
    sidecar.close()
    check_replication(log, shared.cloud())


# ---------------------------------------------------------------- replicate


def _replicate(log: Path, shared: Shared) -> Callable[[], None]:
    cloud = MemoryCloud()

    def trial() -> None:
        sidecar = Sidecar(sidecar_path(str(log)))
        try:
            standing = sidecar.load()
        except SidecarError:
            standing = None
        engine = _engine(log, cloud, sidecar, standing)
        for _ in range(40):
            engine.step()
            shared.keep(cloud)
        sidecar.close()

    return trial


def _check_replicate(log: Path, shared: Shared) -> None:
    check_replication(log, shared.cloud())


# ---------------------------------------------------------------- replication, in this process and to its end


def _engine(log: Path, cloud: MemoryCloud, sidecar: Sidecar | None, standing: Standing | None = None) -> Engine:
    clock = ManualClock()
    place = sidecar or MemorySidecar()
    return Engine(
        EnginePorts(LogReader(str(log)), place, MemorySink(cloud), ManualWaker(clock), clock),
        standing,
        endpoint=HERE,
        policy=Policy(),
        new_log_id=lambda: LOG_ID,
    )


def _until_caught_up(engine: Engine, end: int) -> None:
    for _ in range(STEPS_MAX):
        engine.step()
        durable = engine.progress.saving.durable
        if durable is not None and durable.cursor.offset == end:
            return
    raise AssertionError(f"replication does not go on: {engine.progress.retry.trouble or engine.progress.log_trouble}")


def check_replication(log: Path, cloud: MemoryCloud) -> int:
    """Replicate what is there with a fresh process's eyes: the cloud then has the log, in one generation.

    Returns how many records that took.
    """
    sidecar = Sidecar.open(sidecar_path(str(log)))
    engine = _engine(log, cloud, sidecar, sidecar.load())
    _until_caught_up(engine, log.stat().st_size)
    sidecar.close()
    assert list(cloud.logs) == [LOG_ID], f"generations that no fault justifies: {list(cloud.logs)}"
    assert cloud.bytes_of(LOG_ID) == log.read_bytes(), "the replica is not the log"
    tally = engine.progress.tally
    return tally.accepted + tally.duplicates


def _of(check: Callable[..., None], *more: object) -> Callable[[Path, Shared], None]:
    return lambda log, shared: check(log, shared, *more)


PATHS = (
    Tried("append to a new log", lambda _: None, _append, _of(_check_append, b"")),
    Tried("append behind a torn tail", _torn_log, _append, lambda log, shared: _check_append(log, shared, _torn())),
    Tried("Brain.emit, projection too", _brain, _correct, _check_correct),
    Tried("checkpoint, a new sidecar", _five, _checkpoint, _of(_check_checkpoint, 0)),
    Tried("checkpoint, a sidecar of before", _saved_before, _checkpoint, _of(_check_checkpoint, 2)),
    Tried("read, send, checkpoint", _five, _replicate, _check_replicate),
)

assert PROMISES_MAX > 11
