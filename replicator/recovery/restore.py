"""Bring a log back from its replica, byte for byte and proven.

The copy is written into a file beside the target, resumed where an interruption left it, hashed while it is written,
made durable, and put in the log's place under the writers' lock. A log that is not a prefix of the copy is replaced
only by force, and then kept under another name. Then the sidecar is made to stand where the cloud does, so that
replication goes on without sending anything again.

Where the cloud has no bytes, a line of the same length stands for the record, and says so: these are named, and the
root is proven for the rest by the cloud's tiles.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import BinaryIO, Literal

from replicator.errors import CloudError
from replicator.log import LogReader, replace_log
from replicator.model import MIB, Cursor, Standing
from replicator.proof import CompactRange, leaf_hasher, leaf_hashes
from replicator.recovery.local import LocalTree
from replicator.sidecar import Sidecar, sidecar_path
from replicator.sink.reader import ReplicaReader
from replicator.tiles import Tile, TileLostError, different, tree_at
from replicator.wire.replica import ReplicaLog

NAMED_MAX = 1_000
TRIES_MAX = 6
"""How often the stream may break without progress."""
AGAIN_S = 0.5
EVENT_BYTES_MAX = 16 * MIB
_PLACEHOLDER = re.compile(
    rb'\{"gradata_(hole|erased|expired|lost)":\{"(?:record":(\d{1,15})|first":(\d{1,15}),"end":(\d{1,15}))'
)
_FRONT_BYTES = 128

Was = Literal["absent", "behind", "identical", "ahead", "other"]
OnBytes = Callable[[int, int], None]
"""Called with the bytes that are there, and all."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do with the file at `path`.

    `was`: it is absent or empty; `behind`: a prefix of the copy; `identical`; `ahead`: the copy is a prefix of it;
    `other`: from record `shared` on it is another log. `local_bytes`: its length, `kept_bytes` of it need no fetching.
    """

    path: str
    cloud_id: str
    log: ReplicaLog
    was: Was
    shared: int = 0
    local_records: int = 0
    local_bytes: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Records [first, end) have no bytes at the cloud: `hole` (a dead letter), `erased`, `expired` or `lost`."""

    first: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The copy in a file beside the target, durable. `tree` is of the whole records in it.

    `proven`: its root is that of the cloud's head. Else `placeholders` and `unproven` say in which records it
    differs: at least those; `unproven` are bytes that are not what the cloud's own tree stands for.
    """

    path: str
    tree: CompactRange
    proven: bool
    fetched_bytes: int
    placeholders: tuple[Placeholder, ...] = ()
    unproven: tuple[int, ...] = ()


def plan_restore(path: str, reader: ReplicaReader, log: ReplicaLog, cloud_id: str) -> RestorePlan:
    """Compare the file at `path`, if there is one, with the copy. Changes nothing."""
    local = LocalTree.of(path, log.head.size)
    length = LogReader(path).end()
    if not length:
        return RestorePlan(path, cloud_id, log, "absent")
    shared = _shared(local, log, reader)
    records = local.size + local.behind
    whole = LogReader(path).whole_end()
    was: Was = "other"
    if shared == local.size and not local.behind:
        if length == local.end and shared == log.head.size:
            was = "identical"
        elif _continues(path, reader, log, whole, length):
            was = "behind"
        elif shared == log.head.size:
            was = "ahead"
    elif shared == log.head.size:
        was = "ahead"
    kept = local.end if was == "behind" else 0
    return RestorePlan(path, cloud_id, log, was, shared, records, length, kept)


def _shared(local: LocalTree, log: ReplicaLog, reader: ReplicaReader) -> int:
    """How many records from the beginning on are the same."""
    same = min(local.size, log.head.size)
    if same == log.head.size and local.tree.root == log.head.root:
        return same
    tile = cloud_tile(reader, log)
    try:
        return next(different(same, local.tile, tile), same)
    except TileLostError as error:
        raise _damaged(error) from None


def _continues(path: str, reader: ReplicaReader, log: ReplicaLog, whole: int, length: int) -> bool:
    """Whether the bytes after the last whole record are a prefix of the copy's next record."""
    if length == whole:
        return True
    if length > log.head.offset or length - whole > EVENT_BYTES_MAX:
        return False
    theirs = b"".join(reader.stream(log.head.log_id, whole, length))
    with open(path, "rb") as file:
        file.seek(whole)
        return file.read(length - whole) == theirs


def cloud_tile(reader: ReplicaReader, log: ReplicaLog) -> Tile:
    """The cloud's tiles, each read once, and only believed if they have the head's root."""
    kept: dict[tuple[int, int], bytes] = {}

    def tile(level: int, index: int) -> bytes:
        if (level, index) not in kept:
            kept[level, index] = reader.tile(log.head.log_id, level, index)
        return kept[level, index]

    try:
        if tree_at(log.head.size, tile).root != log.head.root:
            raise TileLostError("they do not have the root of the head")
    except TileLostError as error:
        raise _damaged(error) from None
    return tile


def _damaged(error: TileLostError) -> CloudError:
    return CloudError(
        f"the cloud's tiles are damaged: {error}", hint="restore the cloud's store from a backup", status=500
    )


def fetch(
    plan: RestorePlan,
    reader: ReplicaReader,
    on_progress: OnBytes = lambda _there, _all: None,
    *,
    wait: Callable[[float], object] = time.sleep,
) -> Fetched:
    """Write the copy beside the target, from where an earlier attempt ended; returns when it is durable.

    CloudError if the cloud goes away for good: what came stays, and the next run goes on from there.
    """
    path = f"{plan.path}.{plan.log.head.log_id}.partial"
    resumed = _begin(path, plan)
    found = _fetch(path, plan, reader, on_progress, wait)
    if found.unproven and resumed:  # perhaps what was there already is the fault
        os.unlink(path)
        found = _fetch(path, plan, reader, on_progress, wait)
    return found


def _begin(path: str, plan: RestorePlan) -> bool:
    """Make the file, with what the target has of the copy; whether there was something in it."""
    with os.fdopen(_open(path), "r+b") as file:
        there = file.seek(0, os.SEEK_END)
        if there > plan.log.head.offset:
            there = file.truncate(0)
        if there >= plan.kept_bytes:
            return there > 0
        file.truncate(0)
        file.seek(0)
        left = plan.kept_bytes
        with open(plan.path, "rb") as old:
            while left and (piece := old.read(min(MIB, left))):
                file.write(piece)
                left -= len(piece)
        return True


def fetch_span(path: str, plan: RestorePlan, reader: ReplicaReader, start: int, on_progress: OnBytes) -> None:
    """Write the copy's bytes from `start` on to a new file with mode 0600."""
    if os.path.lexists(path):
        os.unlink(path)
    with os.fdopen(_open(path), "r+b") as file:
        _stream(file, StreamHasher(length=start), plan, reader, on_progress, time.sleep)


def _fetch(
    path: str, plan: RestorePlan, reader: ReplicaReader, on_progress: OnBytes, wait: Callable[[float], object]
) -> Fetched:
    head, hashing = plan.log.head, StreamHasher()
    with os.fdopen(_open(path), "r+b") as file:
        while piece := file.read(MIB):
            hashing.take(piece)
        begun = hashing.length
        _stream(file, hashing, plan, reader, on_progress, wait)
    fetched = hashing.length - begun
    if hashing.tree.size == head.size and hashing.tree.root == head.root:
        return Fetched(path, hashing.tree, proven=True, fetched_bytes=fetched)
    return _explained(path, plan, reader, hashing, fetched)


def _stream(
    file: BinaryIO,
    hashing: StreamHasher,
    plan: RestorePlan,
    reader: ReplicaReader,
    on_progress: OnBytes,
    wait: Callable[[float], object],
) -> None:
    """Download the missing part up to the copy's end; resumes after network failures."""
    head, tries = plan.log.head, 0
    while hashing.length < head.offset:
        before = hashing.length
        try:
            for piece in reader.stream(head.log_id, before, head.offset):
                file.write(piece)
                hashing.take(piece)
                on_progress(hashing.length, head.offset)
        except CloudError as error:
            tries = 1 if hashing.length > before else tries + 1
            if error.status or tries >= TRIES_MAX:
                file.flush()
                raise
            wait(AGAIN_S * tries)
    file.flush()
    os.fsync(file.fileno())


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _explained(path: str, plan: RestorePlan, reader: ReplicaReader, hashing: StreamHasher, fetched: int) -> Fetched:
    """Why the root is not that of the head."""
    placeholders = tuple(hashing.placeholders)
    unproven: tuple[int, ...] = ()
    if hashing.tree.size == plan.log.head.size:
        local = LocalTree.of(path)
        without = {number for each in placeholders for number in range(each.first, each.end)}
        numbers = different(plan.log.head.size, local.tile, cloud_tile(reader, plan.log))
        others = list(islice((number for number in numbers if number not in without), NAMED_MAX))
        blank = [number for number in others if local.is_placeholder(number)]  # too short to say what it stands for
        placeholders += tuple(Placeholder(number, number + 1, "hole") for number in blank)
        unproven = tuple(number for number in others if number not in blank)
    elif not placeholders:
        unproven = (min(hashing.tree.size, plan.log.head.size),)
    return Fetched(path, hashing.tree, False, fetched, placeholders, unproven)


def put(plan: RestorePlan, fetched: Fetched, *, keep_as: str | None = None) -> None:
    """Put the copy in the log's place; durable when this returns.

    LogError if the log changed since the plan was made: nothing was replaced.
    """
    replace_log(plan.path, fetched.path, expected_bytes=plan.local_bytes, keep_as=keep_as)


def adopt(plan: RestorePlan, reader: ReplicaReader, *, endpoint: str) -> Standing | None:
    """Make the sidecar stand where the cloud does, in the file as it is now. Call it with the lease held.

    None if the file has other records than the copy in number: where the cloud lost rows, a line stands for several.
    Then replication begins a new generation, which loses nothing either.
    """
    head = plan.log.head
    local = LocalTree.of(plan.path, head.size)
    if local.size < head.size:
        return None
    cursor = local.cursor(head.log_id, head.size)
    if cursor.offset != head.offset:
        return None
    if cursor.root != head.root:
        tree = tree_at(head.size, cloud_tile(reader, plan.log))
        cursor = Cursor(head.log_id, cursor.offset, tree, cursor.event_id, cursor.anchor)
    cursor = Cursor(cursor.log_id, cursor.offset, cursor.tree, cursor.event_id, cursor.anchor, plan.log.parent)
    standing = Standing(cursor, plan.cloud_id, endpoint)
    sidecar = Sidecar.open(sidecar_path(plan.path))
    try:
        sidecar.save(standing)
    finally:
        sidecar.close()
    return standing


@dataclass(slots=True)
class StreamHasher:
    """Hashes a stream of bytes record by record, in bounded memory, and notes placeholder lines."""

    tree: CompactRange = CompactRange.EMPTY
    length: int = 0
    placeholders: list[Placeholder] = field(default_factory=list)
    _torn: hashlib._Hash | None = None
    _front: bytes = b""

    def take(self, piece: bytes) -> None:
        """The next bytes."""
        self.length += len(piece)
        lines = BytesIO(piece).readlines()
        leaves: list[bytes] = []
        if self._torn is not None:
            first = lines.pop(0)
            self._torn.update(first)
            self._front = (self._front + first[:_FRONT_BYTES])[:_FRONT_BYTES]
            if not first.endswith(b"\n"):
                return
            leaves.append(self._torn.digest())
            self._note(self._front)
            self._torn = None
        torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        leaves += leaf_hashes(lines)
        for line in lines:
            if line.startswith(b'{"gradata_'):
                self._note(line[:_FRONT_BYTES])
        self.tree = self.tree.extended(leaves)
        if torn:
            self._torn = leaf_hasher()
            self._torn.update(torn)
            self._front = torn[:_FRONT_BYTES]

    def _note(self, front: bytes) -> None:
        found = _PLACEHOLDER.match(front)
        if found is None or len(self.placeholders) >= NAMED_MAX:
            return
        why = found[1].decode()
        first = int(found[2] or found[3])
        self.placeholders.append(Placeholder(first, int(found[4]) if found[4] else first + 1, why))
