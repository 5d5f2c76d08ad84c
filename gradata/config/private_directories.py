"""Directories of this user alone: made so whatever the umask, and looked at before what stands in them is believed."""

from __future__ import annotations

import contextlib
import os
import stat


def make_private(path: str) -> None:
    """Make a directory and those above it that are missing, each 0700. OSError as it comes. Safe to repeat.

    `os.makedirs` gives its mode to the last one only, and to the others what the umask leaves of 0777.
    """
    parent = os.path.dirname(path)
    if parent not in ("", path) and not os.path.isdir(parent):
        make_private(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if not os.path.isdir(path):
        raise NotADirectoryError(20, "it is no directory", path)


def writable_by_others(home: str, path: str) -> str | None:
    """The first of the directories from `~/.gradata` down to `path`, or `path` itself, that somebody else may write;
    None: there is none. One that is missing, is another user's, or is a link, counts as such."""
    base = os.path.join(home, ".gradata")
    parts = [part for part in os.path.relpath(path, base).split(os.sep) if part != os.curdir]
    for count in range(len(parts) + 1):
        each = os.path.join(base, *parts[:count])
        if not is_ours(each):
            return each
    return None


def is_ours(path: str) -> bool:
    """Whether a file or directory is this user's, is no link, and nobody else may write it."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if os.name != "posix":
        return True
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and not others
