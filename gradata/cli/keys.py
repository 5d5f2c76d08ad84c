"""`gradata keys create|list|rotate|revoke`: manage the API keys of a cloud."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from gradata.cli.commands import FINE, PROBLEM, Parser, Subparsers, add_json, add_order, needs_server
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.cloud.store.port import Store
    from gradata.cloud.store.values import StoredKey

NAME = "keys"
HELP = "create, list, rotate and revoke the API keys of a cloud"
SCOPES = "ingest,read"
GRACE_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class KeysOptions:
    """`prefix` is the public part of a key."""

    part: Literal["create", "list", "rotate", "revoke"]
    store: str | None
    json: bool
    name: str = ""
    scopes: tuple[str, ...] = ()
    brains: tuple[str, ...] = ()
    prefix: str = ""
    grace_s: float = 0.0
    dry_run: bool = False
    yes: bool = False


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="The API keys of a cloud, in its store. A key is shown once, when it is created; the store keeps "
        "a hash.",
    )
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    create = _part(parts, "create", "create a key and print it, once")
    create.add_argument("--name", required=True, help="name of its owner, for people")
    create.add_argument("--scope", default=SCOPES, metavar="A,B", help=f"ingest, read, admin ({SCOPES})")
    create.add_argument(
        "--brain", action="append", default=[], metavar="ID", help="restrict the key to this brain id; may be repeated"
    )
    _part(parts, "list", "list the keys, without their secret parts")
    rotate = _part(parts, "rotate", "create a key with the rights of an old one, which expires after a grace period")
    rotate.add_argument("prefix", metavar="KEY", help="public prefix of the old key, as shown by `list`")
    rotate.add_argument(
        "--grace-hours",
        type=float,
        default=GRACE_HOURS,
        metavar="H",
        help=f"hours until the old key expires ({GRACE_HOURS:g})",
    )
    revoke = _part(parts, "revoke", "revoke a key immediately")
    revoke.add_argument("prefix", metavar="KEY", help="public prefix of the key, as shown by `list`")
    add_order(revoke)


def _part(parts: Subparsers, name: str, what: str) -> Parser:
    part = parts.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="Exit codes: 0 done, 1 not possible, 2 wrong usage.",
    )
    part.add_argument("--store", metavar="URL", help="the cloud's store (default: SQLite in ~/.gradata/cloud)")
    add_json(part)
    part.set_defaults(part=name, run=_run)
    return part


def _run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    given = vars(chosen)
    scopes = tuple(scope.strip() for scope in given.get("scope", "").split(",") if scope.strip())
    options = KeysOptions(
        chosen.part, chosen.store, chosen.json, given.get("name", ""), scopes, tuple(given.get("brain", ())),
        given.get("prefix", ""), given.get("grace_hours", 0.0) * 3600, given.get("dry_run", False),
        given.get("yes", False),
    )  # fmt: skip
    return run(options, terminal)


def run(options: KeysOptions, terminal: Terminal) -> int:
    with needs_server():
        from gradata.cloud.service import api_keys
        from gradata.cloud.store.open import open_store
    url = options.store or default_store()
    _check(options, url, api_keys.SCOPES)
    store = open_store(url)
    try:
        match options.part:
            case "create":
                key = api_keys.create_key(store, options.name, options.scopes, brains=options.brains)
                return _show_key(key, options, terminal)
            case "list":
                return _list(api_keys.list_keys(store), options, terminal)
            case "rotate":
                key = api_keys.rotate_key(store, _prefix(options), grace_s=options.grace_s)
                return _show_key(key, options, terminal)
            case "revoke":
                return _revoke(store, options, terminal)
    finally:
        store.close()


def _check(options: KeysOptions, url: str, scopes: frozenset[str]) -> None:
    """Reject invalid arguments before a store is opened: opening a missing one would create it."""
    if options.grace_s < 0:
        raise ConfigurationError("a grace period cannot be negative", hint="use --grace-hours 0 to end the old key now")
    if set(options.scopes) - scopes:
        raise ConfigurationError("a scope is one of ingest, read, admin", hint="for example --scope ingest,read")
    path = url.removeprefix("sqlite:").removeprefix("//")
    if options.part != "create" and url.startswith("sqlite:") and not os.path.exists(path):
        raise ConfigurationError(f"there is no store at {path}", hint="name it with --store; `gradata serve` makes one")


def default_store() -> str:
    """The store of `gradata serve` without --store."""
    with needs_server():
        from gradata.cloud.server import DATA_DIRECTORY  # here: it brings the web framework
    return f"sqlite:{os.path.expanduser(DATA_DIRECTORY)}/cloud.db"


def _prefix(options: KeysOptions) -> str:
    """The public prefix, also if a whole key was pasted."""
    head, _, _secret = options.prefix.partition("gk_live_")[2].partition("_")
    return f"gk_live_{head}" if head else options.prefix


def _show_key(key: str, options: KeysOptions, terminal: Terminal) -> int:
    if options.json:
        terminal.json({"key": key})
    else:
        terminal.out(key)
        terminal.say("shown once: keep it in ~/.gradata/key (mode 0600) on the machine that uses it")
    return FINE


def _list(keys: list[StoredKey], options: KeysOptions, terminal: Terminal) -> int:
    shown = [_json(key) for key in keys]
    if options.json:
        terminal.json({"keys": shown})
    elif not shown:
        terminal.out("no keys")
    else:
        names = ("key", "name", "scopes", "brains", "created_at", "expires_at", "revoked_at")
        rows = [[_cell(row[name]) for name in names] for row in shown]
        terminal.table(names, rows)
    return FINE


def _json(key: StoredKey) -> dict[str, Any]:
    return {
        "key": key.prefix,
        "name": key.name,
        "workspace": key.workspace,
        "scopes": sorted(key.scopes),
        "brains": sorted(key.brains),
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
    }


def _iso(microseconds: int | None) -> str | None:
    return (
        None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds")
    )


def _cell(value: object) -> str:
    return ",".join(value) or "all" if isinstance(value, list) else "-" if value is None else str(value)


def _revoke(store: Store, options: KeysOptions, terminal: Terminal) -> int:
    from gradata.cloud.service import api_keys

    prefix = _prefix(options)
    found = next(iter(store.keys(prefix=prefix)), None)
    if not options.json and found is not None:
        terminal.out(f"from {prefix} ({found.name}) working → to revoked: requests with it are rejected at once")
    if not options.dry_run:
        if not terminal.confirm(f"revoke {prefix}", yes=options.yes):
            terminal.fail("not confirmed: nothing was changed")
            return PROBLEM
        api_keys.revoke_key(store, prefix)
    if options.json:
        terminal.json({"key": prefix, "revoked": not options.dry_run, "dry_run": options.dry_run})
    return FINE
