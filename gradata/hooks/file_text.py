"""Read the files that agents write, as texts that can be compared: bounded, and only what is text.

Line ends and a byte order mark do not count as changes. Of a notebook the sources of its cells are the text: what it
printed is no edit.
"""

from __future__ import annotations

import json
import os
import stat
from typing import NamedTuple

FILE_BYTES_MAX = 1024 * 1024
CELL_BREAK = "\n\n"
HEAD_FILES = ("HEAD", "logs/HEAD", "ORIG_HEAD", "logs/refs/stash")
"""What Git writes when it checks out, merges, resets or stashes."""
DEPTH_MAX = 64


class FileMark(NamedTuple):
    """What tells without reading that a file is as it was."""

    mtime_ns: int
    size: int
    inode: int


class FileText(NamedTuple):
    """A file's text, and its mark when it was read."""

    text: str
    mark: FileMark


def true_path(path: str) -> str | None:
    """The path without links; None if it is no path: a NUL in it, a lone surrogate."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return None


def mark_of(path: str) -> FileMark | None:
    """The file's mark; None if it is gone or cannot be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return FileMark(found.st_mtime_ns, found.st_size, found.st_ino)


def read_text(path: str) -> FileText | None:
    """The file as it is; None if it is gone, no regular file, larger than FILE_BYTES_MAX or no text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES_MAX:
            return None
        held = _all_of(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(held) > FILE_BYTES_MAX or b"\0" in held:
        return None
    try:
        text = comparable(path, held.decode())
    except UnicodeDecodeError:
        return None
    return None if text is None else FileText(text, FileMark(found.st_mtime_ns, found.st_size, found.st_ino))


def _all_of(descriptor: int) -> bytes:
    """The file to its end, or one byte more than is wanted."""
    held = b""
    while len(held) <= FILE_BYTES_MAX and (more := os.read(descriptor, FILE_BYTES_MAX + 1 - len(held))):
        held += more
    return held


def comparable(path: str, text: str) -> str | None:
    """The text as it is compared; None if there is none: too long, or a notebook that cannot be read."""
    if len(text) > FILE_BYTES_MAX:
        return None
    if path.lower().endswith(".ipynb"):
        return _cells(text)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _cells(text: str) -> str | None:
    try:
        cells = json.loads(text)["cells"]
        return CELL_BREAK.join("".join(cell["source"]) for cell in cells) + "\n"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def head_moved_at(path: str) -> float | None:
    """When the HEAD of the file's Git repository moved last, in seconds since the epoch; None without a repository."""
    directory = os.path.dirname(path)
    for _ in range(DEPTH_MAX):
        if (repository := _repository(os.path.join(directory, ".git"))) is not None:
            marks = [mark_of(os.path.join(repository, name)) for name in HEAD_FILES]
            return max((mark.mtime_ns / 1e9 for mark in marks if mark is not None), default=None)
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return None


def _repository(path: str) -> str | None:
    """The directory with HEAD: `.git` itself, or where a worktree's file `.git` points."""
    if os.path.isdir(path):
        return path
    try:
        with open(path, encoding="utf-8") as file:
            head, _, found = file.read(4096).partition(":")
    except (OSError, UnicodeDecodeError):
        return None
    return os.path.join(os.path.dirname(path), found.strip()) if head == "gitdir" else None
