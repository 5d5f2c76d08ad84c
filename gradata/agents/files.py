"""Agents' files on the disk: read as text, backed up, and replaced whole or not at all.

The mode and the owner are kept, a symlink is followed by the caller (`os.path.realpath`), and a file of an unexpected
kind is an UnsureError. OSError comes as it is.
"""

from __future__ import annotations

import os
import stat
import time

from gradata.agents.model import UnsureError

FILE_BYTES_MAX = 4 * 1024 * 1024
BACKUPS_MAX = 1_000


def read_text(file: str) -> str | None:
    """The file's text; None if there is none. UnsureError for what is no text; OSError as it comes."""
    try:
        with open(file, "rb") as opened:
            held = opened.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(held) > FILE_BYTES_MAX:
        raise UnsureError(f"{file} is larger than {FILE_BYTES_MAX:,} bytes", hint="add the entry yourself")
    try:
        return held.decode("utf-8")
    except UnicodeDecodeError as error:
        line = held.count(b"\n", 0, error.start) + 1
        raise UnsureError(f"{file}, line {line}: it is no UTF-8 text", hint="mend it") from error


def read_bytes(path: str) -> bytes | None:
    """The file's bytes; None if there is none. UnsureError if it is no regular file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnsureError(f"{path} is no regular file", hint="look at it yourself")
        with open(path, "rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None


def back_up(real: str, before: bytes | None) -> str | None:
    """A copy beside the file, with its mode; None if there was no file."""
    if before is None:
        return None
    mode = stat.S_IMODE(os.stat(real).st_mode)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(BACKUPS_MAX):
        path = f"{real}.before-gradata-{stamp}{f'-{number}' if number else ''}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        fill(descriptor, before, mode)
        return path
    raise UnsureError(f"{real} has more than {BACKUPS_MAX} backups of this second", hint="remove some")


def replace(real: str, text: str | None) -> None:
    """The file's new content, durable, whole or not at all; None removes it."""
    folder = os.path.dirname(real)
    if text is None:
        os.unlink(real)
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        there = os.stat(real)
    except FileNotFoundError:
        there = None
    if there is not None and not os.access(real, os.W_OK):
        raise UnsureError(f"{real} is read-only", hint="make it writable, or add the entry yourself")
    draft = f"{real}.gradata-{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if there is not None and hasattr(os, "fchown") and (there.st_uid, there.st_gid) != (os.getuid(), os.getgid()):
            os.fchown(descriptor, there.st_uid, there.st_gid)
        fill(descriptor, text.encode(), 0o600 if there is None else stat.S_IMODE(there.st_mode))
        os.replace(draft, real)
    except OSError:
        if os.path.exists(draft):
            os.unlink(draft)
        raise
    _sync_directory(folder)


def fill(descriptor: int, content: bytes, mode: int) -> None:
    """Write, sync and close an open file, and give it its mode."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _sync_directory(folder: str) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
