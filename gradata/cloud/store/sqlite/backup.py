"""Backups of an SQLite store: made while a server is running, verified, and restored in place of a damaged store.

A backup is one file without a journal. Do not use `cp` on a store in use: part of its content is in the journal beside
it, and a file that is put beside another file's journal is corrupted by it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from urllib.parse import quote

from gradata.cloud.store.sqlite.opening import BUSY_S, SCHEMA_VERSION, take_lease
from gradata.cloud.store.values import StoreError
from gradata.config.private_directories import make_private

_JOURNALS = ("-wal", "-shm")


def backup(path: str, target: str) -> int:
    """Write a checked copy of the store at `path` to the new file `target`; its size in bytes.

    One snapshot: what is committed meanwhile is not in it. Readers and writers go on; the store's journal grows until
    it is done. Raises StoreError: `target` exists, there is no store, no room, the copy is not sound.
    """
    if os.path.lexists(target):
        raise StoreError(f"{target} exists", hint="name a new file")
    if not os.path.isfile(path):
        raise StoreError(f"there is no store {path}", hint="name it with --store sqlite:PATH")
    partial = f"{target}.partial"
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (partial,))
        fault = first_fault(partial)
        if fault is not None:
            raise StoreError(f"the copy of {path} is not sound: {fault}", hint="gradata store check")
        _make_durable(partial)
        os.rename(partial, target)
        _make_durable(os.path.dirname(os.path.abspath(target)))
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be copied to {target}: {error}", hint="is there room for it?") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    return os.path.getsize(target)


def restore(source: str, path: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Put the copy `source` in the place of the store at `path`; the names under which the old files are kept.

    No server may be at work on it. Raises StoreError: `source` is not a sound store of a schema that this version
    knows; a server holds the store; no room.
    """
    fault = first_fault(source)
    if fault is not None:
        raise StoreError(f"{source} is no sound copy of a store: {fault}", hint="use an older copy")
    make_private(os.path.dirname(os.path.abspath(path)))
    aside = f"{path}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    kept = [(path + part, aside + part) for part in (*_JOURNALS, "") if os.path.lexists(path + part)]
    lease = take_lease(path)
    try:
        if not dry_run:
            fresh = f"{path}.restoring"
            with open(source, "rb") as reading:
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
                with open(descriptor, "wb") as writing:
                    shutil.copyfileobj(reading, writing)
            _make_durable(fresh)
            for old, new in kept:
                if old == path:
                    os.link(old, new)  # the store has its name until the copy takes it: no server makes an empty one
                else:
                    os.rename(old, new)
            os.replace(fresh, path)
            _make_durable(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise StoreError(f"{path} cannot be restored: {error}", hint="is there room for both?") from error
    finally:
        lease.release()
    return tuple(new for _, new in kept)


def first_fault(path: str) -> str | None:
    """What is wrong with the file as a store, None if nothing is. Reads all of it, changes nothing."""
    if not os.path.isfile(path):
        return "there is no such file"
    try:
        with closing(
            sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)
        ) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                return str(found).partition("\n")[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if not 0 < version <= SCHEMA_VERSION:
                return f"its schema is {version}, this version knows {SCHEMA_VERSION}"
            row = connection.execute("SELECT value FROM meta WHERE name = 'cloud_id'").fetchone()
            return None if row is not None else "it has no cloud_id"
    except sqlite3.Error as error:
        return str(error)


def _make_durable(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
