"""Opens the store that a URL names."""

from __future__ import annotations

from urllib.parse import urlsplit

from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreError

POSTGRES_HINT = "pip install 'gradata[postgres]'"


def open_store(url: str, *, serving: bool = False) -> Store:
    """The store that `url` names: `sqlite:PATH`, `sqlite::memory:`, or `postgresql://…`.

    `serving`: this process is the server of the store; there is only one of an SQLite file.
    Raises StoreError with a hint.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from gradata.cloud.store.sqlite.store import SqliteStore  # here: a process needs one store's driver, not both

        return SqliteStore.open(rest.removeprefix("//"), serving=serving)
    if is_shared(url):
        try:
            from gradata.cloud.store.postgres.store import PostgresStore
        except ImportError as error:
            raise StoreError("the PostgreSQL driver is not installed", hint=POSTGRES_HINT) from error
        return PostgresStore.open(url, serving=serving)
    raise StoreError(
        "a store is named sqlite:PATH or postgresql://…", hint="for example --store sqlite:/var/lib/gradata/cloud.db"
    )


def is_shared(url: str) -> bool:
    """Whether any number of servers may use the store at the same time."""
    return url.startswith(("postgresql://", "postgres://"))


def shown(url: str) -> str:
    """The store's name without a password in it, for people and logs."""
    if not is_shared(url):
        return url
    try:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "postgresql://…"
    return f"postgresql://{where}{parts.path}"
