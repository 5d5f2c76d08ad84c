"""Keep what agents wrote on this machine: the text of their files, and which tool calls run now.

One directory for each brain, `~/.gradata/written/<digest>/`, outside every brain, 0700, files 0600. It is bounded by
files and bytes, and nothing of it is ever shipped: only corrections, redacted, go into the log. What cannot be read
counts as absent, since then nothing is captured wrongly. Hooks run at the same time: all is done under one lock, that
the kernel takes from a process that dies. Partner: `capture`, which decides nothing here and reads the agents' files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, NamedTuple

from gradata.config.private_directories import is_ours, make_private
from gradata.errors import GradataError
from gradata.hooks.file_text import FileMark
from gradata.hooks.host_call import Edit, FileWrite
from gradata.hooks.person_edits import WrittenFile

if sys.platform != "win32":
    import fcntl

VERSION = 1
FILES_MAX = 200
BYTES_MAX = 32 * 1024 * 1024
RECORD_BYTES_MAX = 8 * 1024 * 1024
INDEX_BYTES_MAX = 64 * 1024 * 1024
KEPT_S = 30 * 86_400.0
CALLS_MAX = 50
CALL_S = 900.0
"""A call that nothing followed has ended after this long: no host lets a tool run longer without being asked."""
FOLLOWED_MAX = 50
LOCK_S = 2.0
LOCK_POLL_S = 0.005

_INDEX, _LOCK = "index.json", "lock"
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class WrittenFilesError(GradataError):
    """What agents wrote cannot be kept, so people's edits of it cannot be told and are not captured."""


class RunningCall(NamedTuple):
    """A tool call that began and did not end. `writes`: each file with the text that stood there when it began."""

    key: str
    session: str | None
    tool: str
    cwd: str | None
    at: float
    writes: tuple[tuple[FileWrite, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class _KeptFile:
    """A row of the index: where the text is, and by which mark a change of the file is seen.

    `digest`: of the record with the text, which is written after the index; another one is as good as none. `recorded`
    stands here and not there, so that it becomes durable in one piece with `pending`.
    """

    name: str
    mark: FileMark | None
    size: int
    at: float
    session: str | None
    digest: str
    recorded: tuple[str, ...]


class _KeptCall(NamedTuple):
    """A row of the index: a running call. `name`: the file with what it writes; "" if that is not known."""

    session: str | None
    tool: str
    cwd: str | None
    at: float
    name: str


@dataclass(slots=True)
class KeptState:
    """What is kept, while the lock is held. `pending`: lines for the log, durable here before they go there."""

    directory: str
    files: dict[str, _KeptFile] = field(default_factory=dict)
    calls: dict[str, _KeptCall] = field(default_factory=dict)
    followed: dict[str, float] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    """By agent, by reason."""
    dirty: bool = False
    _fresh: dict[str, bytes] = field(default_factory=dict)
    """Records to write, by name."""

    # ------------------------------------------------------------ files

    def mark(self, path: str) -> FileMark | None:
        """The mark that the file had when it was kept."""
        kept = self.files.get(path)
        return None if kept is None else kept.mark

    def file(self, path: str) -> WrittenFile | None:
        """What the agent left in a file; None if that is not known."""
        if (kept := self.files.get(path)) is None:
            return None
        held = self._fresh.get(kept.name) or _bytes_of(os.path.join(self.directory, kept.name), RECORD_BYTES_MAX)
        if held is None or _digest(held) != kept.digest:
            return None
        said = json.loads(held)
        owned = [False] * said.pop("lines")
        for start, end in said.pop("owned"):
            owned[start:end] = [True] * (end - start)
        return WrittenFile(owned=tuple(owned), recorded=kept.recorded, **said | {"earlier": tuple(said["earlier"])})

    def keep(self, written: WrittenFile, mark: FileMark | None, now: float) -> None:
        """Keep a file; one without a line of the agent's is forgotten."""
        if not any(written.owned):
            self.forget(written.path)
            return
        said = asdict(written) | {"owned": _spans(written.owned), "lines": len(written.owned)}
        del said["recorded"]
        held = json.dumps(said).encode()
        name, digest = f"file-{_digest(os.fsencode(written.path))}.json", _digest(held)
        known = self.files.get(written.path)
        if known is None or known.digest != digest:
            self._fresh[name] = held
        row = _KeptFile(name, mark, len(held), now, written.session, digest, written.recorded)
        self.files[written.path] = row
        self.dirty = True
        self.make_room(now)

    def forget(self, path: str) -> None:
        """Keep nothing of a file."""
        if (kept := self.files.pop(path, None)) is not None:
            self._fresh.pop(kept.name, None)
            _remove(os.path.join(self.directory, kept.name))
            self.dirty = True

    def make_room(self, now: float) -> None:
        """Keep to the limits; the files that changed longest ago go first."""
        total = sum(kept.size for kept in self.files.values())
        for path, kept in sorted(self.files.items(), key=lambda item: item[1].at):
            if len(self.files) <= FILES_MAX and total <= BYTES_MAX and now - kept.at <= KEPT_S:
                break
            total -= kept.size
            self.forget(path)

    # ------------------------------------------------------------ calls

    def begin(self, call: RunningCall) -> None:
        """A tool begins."""
        self.followed.pop(call.key, None)
        name = f"call-{call.key}.json" if call.writes else ""
        if name:
            held = json.dumps({"writes": call.writes}).encode()
            if len(held) > RECORD_BYTES_MAX:
                held = json.dumps({"writes": [(FileWrite(write.path), None) for write, _ in call.writes]}).encode()
            _write(os.path.join(self.directory, name), held)
        while len(self.calls) >= CALLS_MAX:
            self.end(min(self.calls, key=lambda key: self.calls[key].at), call.at)
        self.calls[call.key] = _KeptCall(call.session, call.tool, call.cwd, call.at, name)
        self.dirty = True

    def end(self, key: str, now: float) -> RunningCall | None:
        """A tool ended; what was known of it."""
        row = self.calls.pop(key, None)
        self.followed[key] = now
        while len(self.followed) > FOLLOWED_MAX:
            del self.followed[next(iter(self.followed))]
        self.dirty = True
        if row is None:
            return None
        call = self._call(key, row)
        if row.name:
            _remove(os.path.join(self.directory, row.name))
        return call

    def running(self) -> list[RunningCall]:
        """The calls that began and did not end."""
        return [self._call(key, row) for key, row in self.calls.items()]

    def expired(self, now: float) -> list[RunningCall]:
        """The calls that began too long ago; they are ended."""
        old = [key for key, row in self.calls.items() if not 0 <= now - row.at <= CALL_S]
        return [call for key in old if (call := self.end(key, now)) is not None]

    def _call(self, key: str, row: _KeptCall) -> RunningCall:
        said = _read(os.path.join(self.directory, row.name), RECORD_BYTES_MAX) if row.name else None
        writes = tuple((_as_write(write), before) for write, before in (said or {}).get("writes", ()))
        return RunningCall(key, row.session, row.tool, row.cwd, row.at, writes)

    # ------------------------------------------------------------ all of it

    def count(self, agent: str, reason: str) -> None:
        """Something that became of this agent's file was left out, for this reason."""
        counts = self.left_out.setdefault(agent, {})
        counts[reason] = counts.get(reason, 0) + 1
        self.dirty = True

    def save(self, *, durable: bool = False) -> None:
        """Write the index if something changed, then the records. `durable`: the index is on the disk by then."""
        if self.dirty or durable:
            said = {
                "version": VERSION,
                "files": {path: astuple(kept) for path, kept in self.files.items()},
                "calls": self.calls,
                "followed": self.followed,
                "pending": self.pending,
                "left_out": self.left_out,
            }
            _write(os.path.join(self.directory, _INDEX), json.dumps(said).encode(), durable=durable)
            self.dirty = False
        while self._fresh:
            name, held = self._fresh.popitem()
            _write(os.path.join(self.directory, name), held)


def directory_of(home: str, brain_dir: str) -> str:
    """Where it is kept for one brain."""
    return os.path.join(home, ".gradata", "written", _digest(os.fsencode(os.path.realpath(brain_dir))))


def is_empty(home: str, brain_dir: str) -> bool:
    """Whether nothing was ever kept, so that there is nothing to compare with. Costs a `stat`."""
    return not os.path.exists(os.path.join(directory_of(home, brain_dir), _INDEX))


def abandon(home: str, brain_dir: str) -> None:
    """Forget all of it without the lock: an agent wrote, and what it wrote cannot be kept."""
    _remove(os.path.join(directory_of(home, brain_dir), _INDEX))


@contextlib.contextmanager
def locked(home: str, brain_dir: str) -> Iterator[KeptState]:
    """What is kept for one brain, under its lock; saved at the end.

    Raises WrittenFilesError if it can be neither kept nor locked within LOCK_S.
    """
    directory = directory_of(home, brain_dir)
    if sys.platform == "win32" or not os.path.isabs(home):
        raise WrittenFilesError("there is no home where what agents write can be kept", hint="set HOME")
    try:
        make_private(directory)
        if not (is_ours(os.path.dirname(directory)) and is_ours(directory)):
            raise OSError(errno.EPERM, "it is not a directory of this user alone")
        descriptor = os.open(os.path.join(directory, _LOCK), os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o600)
    except OSError as error:
        raise _cannot(directory, error) from error
    try:
        _lock(descriptor, directory)
        kept = _load(directory)
        yield kept
        try:
            kept.save()
        except OSError as error:
            raise _cannot(directory, error) from error
    finally:
        os.close(descriptor)


def _cannot(directory: str, error: OSError) -> WrittenFilesError:
    return WrittenFilesError(
        f"what agents write cannot be kept in {directory}: {error.strerror}; people's edits are not captured",
        hint=f"make {directory} writable",
    )


def _lock(descriptor: int, directory: str) -> None:
    assert sys.platform != "win32"
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise WrittenFilesError(
                    f"{directory} is locked by another hook for {LOCK_S:g} s", hint="see which process hangs"
                ) from None
            time.sleep(LOCK_POLL_S)
        except OSError as error:
            raise _cannot(directory, error) from error
        else:
            return


def _load(directory: str) -> KeptState:
    """The index; what is none is begun anew, and then old texts go."""
    said = _read(os.path.join(directory, _INDEX), INDEX_BYTES_MAX)
    try:
        if said is not None and said["version"] == VERSION:
            return KeptState(
                directory,
                {
                    path: _KeptFile(name, mark and FileMark(*mark), size, at, session, digest, tuple(recorded))
                    for path, (name, mark, size, at, session, digest, recorded) in said["files"].items()
                },
                {key: _KeptCall(*row) for key, row in said["calls"].items()},
                dict(said["followed"]),
                list(said["pending"]),
                {agent: dict(counts) for agent, counts in said["left_out"].items()},
            )
    except (KeyError, TypeError, ValueError, AttributeError):
        pass  # an index of another kind: as if there were none
    for name in os.listdir(directory):
        if name.startswith(("file-", "call-")):
            _remove(os.path.join(directory, name))
    return KeptState(directory)


def _spans(owned: tuple[bool, ...]) -> list[tuple[int, int]]:
    """The lines that are the agent's, as half-open ranges."""
    spans: list[tuple[int, int]] = []
    for index, mine in enumerate(owned):
        if mine and spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        elif mine:
            spans.append((index, index + 1))
    return spans


def _as_write(said: list[Any]) -> FileWrite:
    path, edits, content, before, by_person, removed = said
    return FileWrite(
        path, tuple(Edit(*edit) for edit in edits), content, before, by_person and Edit(*by_person), removed
    )


def _digest(held: bytes) -> str:
    return hashlib.sha256(held).hexdigest()[:24]


def _read(path: str, bytes_max: int) -> dict[str, Any] | None:
    """A JSON object from a file; None if there is none."""
    try:
        said = json.loads(_bytes_of(path, bytes_max) or b"")
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _bytes_of(path: str, bytes_max: int) -> bytes | None:
    """What a file holds; None if there is none, or more than this."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _NOFOLLOW), "rb") as file:
            held = file.read(bytes_max + 1)
    except OSError:
        return None
    return held if len(held) <= bytes_max else None


def _write(path: str, held: bytes, *, durable: bool = False) -> None:
    """Replace a file whole. OSError as it comes."""
    draft = f"{path}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NOFOLLOW, 0o600)
    try:
        view = memoryview(held)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):  # it is gone, or is replaced when it is needed again
        os.unlink(path)
