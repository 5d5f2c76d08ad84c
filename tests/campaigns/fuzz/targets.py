"""What is fed with arbitrary bytes, and what must hold for all of them.

A target is a function of bytes that returns, or raises if something does not hold. Everything that it checks is said
once more in plain words of its own, not with the code under test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from gradata.cloud.domain.plan import Append, Done
from gradata.cloud.domain.principal import Principal
from gradata.cloud.protocol import answers, parse
from gradata.cloud.protocol.interpret import meaning_of
from gradata.cloud.store.reading import each_row
from gradata.cloud.store.sqlite.store import SqliteStore
from replicator import actions as act
from replicator import framing, wire
from replicator.errors import AppendError, LogError, NotDurableError, WireError
from replicator.log import LogReader, LogWriter
from replicator.model import Batch, Cursor, Limits
from replicator.testing import SimDisk

LIMITS = Limits(body_bytes=256 * 1024, record_bytes=4 * 1024, records=500, requests_per_minute=600)
NOBODY = Principal("gk_live_fuzz", "default", frozenset({"ingest", "read"}))
NOW_WALL = 1_795_000_000.0
RUNS_PER_STORE = 300


def _lines(data: bytes) -> list[bytes]:
    """Whole lines by the definition: what stands before and with each 0x0A."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


# ------------------------------------------------------------------------------------------- the line reader


def framing_target(data: bytes) -> None:
    """Bytes of a log: every whole line once, in order, byte for byte; looking into one never raises."""
    lines = _lines(data)
    ends = framing.split(data)
    assert [data[a:b] for a, b in zip((0, *ends), ends, strict=False)] == lines
    assert framing.split(data, 3) == ends[:3]
    longest = max(map(len, [*lines, data[ends[-1] if ends else 0 :]]), default=0)
    assert framing.reach(data, max(1, longest)) == len(data)
    for line in lines:
        row, event_id = framing.interpret(line), framing.event_id_of(line)
        assert isinstance(row, dict | framing.Uninterpretable)
        assert 0 < len(event_id) <= framing.EVENT_ID_CHARACTERS_MAX
        event_id.encode()
        meaning = meaning_of(line)
        if isinstance(row, framing.Uninterpretable):
            assert meaning == row.code
        else:
            assert not isinstance(meaning, str)
            assert meaning.event_id == event_id


# ------------------------------------------------------------------------------------------- the server's side


@dataclass
class _Store:
    """A store that lives for some hundred runs: a new one for each costs more than all else."""

    store: SqliteStore | None = None
    runs: int = 0

    def get(self) -> SqliteStore:
        """The present one."""
        if self.store is None or self.runs >= RUNS_PER_STORE:
            if self.store is not None:
                self.store.close()
            self.store, self.runs = SqliteStore(None, record_bytes=LIMITS.record_bytes), 0
        self.runs += 1
        return self.store


_BATCHES, _RECORDS = _Store(), _Store()


def envelope_target(data: bytes) -> None:
    """A body of POST /ingest: refused with a status that clients know, or taken, stored and answered."""
    for read in (wire.parse_heartbeat, wire.parse_correction):
        with contextlib.suppress(WireError):
            read(data)
    try:
        parsed = wire.parse_batch(data, LIMITS)
        request = parse.read_batch(NOBODY, data, LIMITS)
    except WireError as error:
        assert error.status in (400, 413, 426)  # noqa: PT017 -- no test that expects an error
        answer = answers.wire_problem(error, LIMITS)
        assert isinstance(json.loads(answer.body), dict)
        return
    if isinstance(parsed.load, Batch):
        assert list(parsed.load.records()) == _lines(data[data.index(b"\n") + 1 :])
        assert parsed.load.count + len(parsed.holes) == parsed.envelope.count
    (decision,) = _BATCHES.get().ingest([request], now=1)
    answer = answers.answer_batch(request, decision, "cloud", LIMITS)
    outcome = wire.read_ack(answer.status, {"Content-Type": answer.media_type}, answer.body, now_wall=NOW_WALL)
    assert not isinstance(outcome, act.Garbled), outcome


def records_target(data: bytes) -> None:
    """Any bytes as records of a log: kept byte for byte, whatever they mean, and nobody's neighbour is held up."""
    body = data if data.endswith(b"\n") else data + b"\n"
    records = _lines(body)[: LIMITS.records]
    body = b"".join(records)
    store = _RECORDS.get()
    log_id = f"00000000-0000-4000-8000-{store_runs():012d}"
    batch = Batch(0, 0, body, framing.split(body))
    lines = parse.read_lines(body, batch.ends)
    request = Append("default", "brain", "device", log_id, None, 0, 0, Cursor(log_id).root, lines)
    (decision,) = store.ingest([request], now=1)
    assert isinstance(decision, Done), decision
    counted = decision.accepted + decision.duplicates + len(decision.flagged) + len(decision.refused)
    assert counted == len(records)
    log = store.log("default", log_id)
    assert log is not None
    kept = [row.record for row in each_row(store, log, 0, len(records))]
    assert kept == [record if len(record) <= LIMITS.record_bytes else None for record in records]
    assert log.tree.root == _root([hashlib.sha256(b"\0" + record).digest() for record in records])


def store_runs() -> int:
    """A number that no other run with this store has."""
    return _RECORDS.runs


def _root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, by its definition."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


# ------------------------------------------------------------------------------------------- the client's side

_READERS = (wire.read_ack, wire.read_heartbeat, wire.read_logs)
_STATUSES = (200, 200, 200, 409, 400, 401, 403, 404, 408, 410, 413, 422, 426, 429, 500, 503, 302, 204, 0, 999)
_OUTCOMES = act.Acked | act.Heard | act.Recalled | act.Mismatch | act.Garbled | act.Denied | act.Refused
_FAILURES = act.TooLarge | act.TooOld | act.Throttled | act.Gone | act.Unavailable | act.Misconfigured
_HEADERS = ("Content-Type", "Retry-After", "RateLimit-Policy", "Location", "Content-Encoding")


def answers_target(data: bytes) -> None:
    """An answer of any status, headers and bytes: an outcome, never an exception, with texts fit for a log."""
    if len(data) < 3:
        return
    read, status = _READERS[data[0] % len(_READERS)], _STATUSES[data[1] % len(_STATUSES)]
    head, _, body = data[3:].partition(b"\0")
    name = _HEADERS[data[2] % len(_HEADERS)]
    headers = {name: head.decode("latin-1")} if head else {}
    outcome = read(status, headers, body, now_wall=NOW_WALL)
    assert isinstance(outcome, _OUTCOMES | _FAILURES)
    assert status == 200 or not isinstance(outcome, act.Acked | act.Heard | act.Recalled)
    detail = getattr(outcome, "detail", "")
    assert detail.isprintable() and len(detail) < 2_000, detail  # noqa: PT018 -- one thing: a line of a log
    if isinstance(outcome, act.Acked):
        assert type(outcome.accepted) is type(outcome.head.size) is int
        assert min(outcome.accepted, outcome.duplicates, outcome.head.size) >= 0
        assert len(outcome.head.root) == 32
    wait_s = getattr(outcome, "retry_after_s", None)
    assert wait_s is None or 0.0 <= wait_s <= 86_400.0


# ------------------------------------------------------------------------------------------- append and repair

PATH = "/brain/events.jsonl"


class _Script:
    """Takes small numbers off the bytes; 0 when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def over(self) -> bool:
        """Nothing is left."""
        return self._place >= len(self._data)

    def below(self, bound: int) -> int:
        """A number from 0 up to `bound`, itself excluded."""
        byte = 0 if self.over else self._data[self._place]
        self._place += 1
        return byte % bound

    def piece(self) -> bytes:
        """Some bytes without a newline."""
        length = self.below(32)
        piece = self._data[self._place : self._place + length].replace(b"\n", b"n")
        self._place += length
        return piece * (1 + 900 * (self.below(16) == 0))


def append_target(data: bytes) -> None:
    """A history of appends, of writers without lock or sync, of full disks, errors and power cuts.

    What was said to be durable is there, whole, as a line of its own; what was refused is not; the reader finds every
    whole line and nothing else.
    """
    script = _Script(data)
    disk = SimDisk(random.Random(script.below(256)))
    writer = LogWriter(PATH, disk)
    promised: list[tuple[int, bytes]] = []
    number = 0
    while not script.over:
        kind = script.below(10)
        if kind <= 4:
            number += 1
            record = b"%d:" % number + script.piece() + b"\n"
            before = disk.content(PATH)
            try:
                appended = writer.append(record)
            except NotDurableError:
                assert disk.content(PATH).endswith(record)
            except AppendError as error:
                left = disk.content(PATH)[len(before) :]
                assert record not in left
                assert left in (b"", b"\n") or "torn piece remains" in str(error)  # noqa: PT017 -- as above
            except LogError:
                pass
            else:
                promised.append((appended.offset, record))
                assert disk.content(PATH)[: appended.offset][-1:] in (b"", b"\n")
        elif kind == 5:
            disk.append_unlocked(PATH, script.piece() + b"\n" * script.below(2))
        elif kind == 6:
            disk.capacity_bytes = disk.size(PATH) + script.below(64)
        elif kind == 7:
            disk.capacity_bytes = None
            disk._faults.clear()
        elif kind == 8:
            call = ("write", "ftruncate", "fdatasync", "fstat", "open", "stat", "sync_directory")[script.below(7)]
            disk.fail(call, 5, times=1 + script.below(3))
        else:
            disk._faults.clear()
            disk.power_cut()
            writer = LogWriter(PATH, disk)
        content = disk.content(PATH)
        for offset, record in promised:
            assert content[offset : offset + len(record)] == record, "a promise was broken"
    disk._faults.clear()
    _read_all(disk)


def _read_all(disk: SimDisk) -> None:
    content = disk.content(PATH)
    reader = LogReader(PATH, disk)
    found = [record for batch in reader.batches(0, 0, 4_096) for record in batch.records()]
    assert [bytes(record) for record in found] == _lines(content)
    assert reader.whole_end() == content.rfind(b"\n") + 1


TARGETS: dict[str, Callable[[bytes], None]] = {
    "framing": framing_target,
    "envelope": envelope_target,
    "records": records_target,
    "answers": answers_target,
    "append": append_target,
}
