"""Replaces the log by another file without losing a concurrent writer's record.

Done under the writers' lock: a writer that waits for it finds another file at the path and opens that (`appending`). An
old writer, which takes no lock, may append meanwhile: its records are carried over. Partner: `recovery.restore`.
"""

from __future__ import annotations

import os

from replicator.errors import LogError
from replicator.log.disk import APPEND, POSIX, Disk, check_regular, unusable

TRIES_MAX = 100
COPY_BYTES = 1024 * 1024
LOCK_WAIT_S = 5.0


def replace_log(path: str, new: str, *, expected_bytes: int, keep_as: str | None = None, disk: Disk = POSIX) -> None:
    """Make `new`, a file in the same directory, the log at `path`; durable when this returns.

    `expected_bytes`: how long the log was when it was judged; 0 also stands for one that does not exist. LogError if
    it is another length now: nothing was changed. `keep_as`: the old log keeps this name.
    """
    try:
        for _ in range(TRIES_MAX):
            try:
                fd = disk.open(path, APPEND)
            except FileNotFoundError:
                if _placed(path, new, expected_bytes):
                    disk.sync_directory(os.path.dirname(path))
                    return
                continue
            try:
                check_regular(disk.fstat(fd), path)
                if _replaced(path, new, fd, expected_bytes, keep_as, disk):
                    disk.sync_directory(os.path.dirname(path))
                    return
            finally:
                disk.close(fd)
    except OSError as error:
        raise unusable(error, path) from error
    raise LogError(f"the log {path} was replaced again and again", hint="stop the program that replaces it")


def _placed(path: str, new: str, expected_bytes: int) -> bool:
    """Where there was no log: put it there unless a writer has made one meanwhile."""
    if expected_bytes:
        raise _changed(path)
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    os.unlink(new)
    return True


def _replaced(path: str, new: str, fd: int, expected_bytes: int, keep_as: str | None, disk: Disk) -> bool:
    held = disk.lock(fd, path, LOCK_WAIT_S)
    if held is None:
        raise LogError(
            f"the log {path} is locked by another process for {LOCK_WAIT_S:g} s; nothing was replaced",
            hint="let the process that holds its lock go on, or end it",
        )
    try:
        facts = disk.fstat(fd)
        now = disk.stat(path)
        if (now.device, now.inode) != (facts.device, facts.inode):
            return False
        if facts.size != expected_bytes:
            raise _changed(path)
        if keep_as is not None:
            os.link(path, keep_as)
        os.replace(new, path)
        if disk.fstat(fd).size > facts.size:
            _carry_over(fd, facts.size, path, disk)
    finally:
        disk.unlock(held)
    return True


def _carry_over(old: int, offset: int, path: str, disk: Disk) -> None:
    """What was appended to the old log while it was replaced."""
    fd = disk.open(path, APPEND)
    try:
        while piece := disk.pread(old, COPY_BYTES, offset):
            offset += len(piece)
            while piece:
                piece = piece[disk.write(fd, piece) :]
        disk.fdatasync(fd)
    finally:
        disk.close(fd)


def _changed(path: str) -> LogError:
    return LogError(f"the log {path} changed meanwhile; nothing was replaced", hint="run it again")
