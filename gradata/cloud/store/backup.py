"""Backup, restore and check of the store that a URL names."""

from __future__ import annotations

import os

from gradata.cloud.store.open import POSTGRES_HINT, is_shared
from gradata.cloud.store.values import StoreError


def backup(url: str, target: str) -> int:
    """Write a checked copy of the store to the new file `target`, beside servers at work; its size in bytes.

    Raises StoreError with a hint; then there is no `target`.
    """
    if is_shared(url):
        _require_driver()
        from gradata.cloud.store.postgres import backup as postgres  # here: a process needs one store's driver

        return postgres.backup(url, target)
    from gradata.cloud.store.sqlite import backup as sqlite

    return sqlite.backup(_path_of(url), target)


def restore(source: str, url: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Put a copy in the place of the store; under which names what was there is kept. `dry_run` changes nothing.

    Raises StoreError with a hint; then the store is as it was.
    """
    if is_shared(url):
        _require_driver()
        from gradata.cloud.store.postgres import backup as postgres

        return postgres.restore(source, url, dry_run=dry_run)
    from gradata.cloud.store.sqlite import backup as sqlite

    return sqlite.restore(source, _path_of(url), dry_run=dry_run)


def fault_of_files(url: str) -> str | None:
    """What the database itself finds wrong with the store's files; None if nothing, or if it cannot tell.

    SQLite reads the whole file for this. PostgreSQL: use `pg_amcheck`; here only what is read is checked.
    """
    if is_shared(url):
        return None
    from gradata.cloud.store.sqlite import backup as sqlite

    return sqlite.first_fault(_path_of(url))


def _path_of(url: str) -> str:
    scheme, _, path = url.partition(":")
    path = path.removeprefix("//")
    if scheme != "sqlite" or path in ("", ":memory:"):
        raise StoreError(
            f"{url} is no store that is kept", hint="name it with --store sqlite:PATH or --store postgresql://…"
        )
    return os.path.abspath(os.path.expanduser(path))


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401 -- whether it is there
    except ImportError as error:
        raise StoreError("the PostgreSQL driver is not installed", hint=POSTGRES_HINT) from error
