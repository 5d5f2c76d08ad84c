"""`gradata brains list|delete|readmit|erase|retain`: deletion, erasure and retention at a cloud."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gradata.cli.commands import FINE, PROBLEM, Parser, Subparsers, add_json, add_order, needs_server
from gradata.cli.keys import default_store
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.cloud.service.deletion import Target
    from gradata.cloud.store.port import Store

NAME = "brains"
HELP = "list a cloud's brains; delete one, erase a record, set a retention period"
Part = Literal["list", "delete", "readmit", "erase", "retain"]


@dataclass(frozen=True, slots=True)
class BrainsOptions:
    """`days` None: for ever."""

    part: Part
    store: str | None
    json: bool
    brain: str = ""
    event: str | None = None
    log: str | None = None
    record: int | None = None
    days: int | None = None
    dry_run: bool = False
    yes: bool = False


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="The brains of a cloud, in its store. What is deleted here does not come back by a resend: the "
        "client is told, or its records are acknowledged and not stored.",
    )
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    _part(parts, "list", "list the brains, including deleted ones")
    delete = _part(parts, "delete", "delete a brain; its clients get 410 and stop")
    _brain(delete)
    add_order(delete)
    readmit = _part(parts, "readmit", "readmit a deleted brain, so that its client may send it again")
    _brain(readmit)
    add_order(readmit)
    erase = _part(parts, "erase", "erase the bytes of one record wherever they are stored")
    _brain(erase)
    what = erase.add_mutually_exclusive_group(required=True)
    what.add_argument("--event", metavar="ID", help="event_id of the record")
    what.add_argument("--log", metavar="ID", help="log_id, together with --record, for a record that is no event")
    erase.add_argument("--record", type=int, metavar="N", help="number of the record in the log, from 0")
    add_order(erase)
    retain = _part(parts, "retain", "set how long a brain's records are kept")
    _brain(retain)
    time = retain.add_mutually_exclusive_group(required=True)
    time.add_argument(
        "--days", type=int, metavar="N", help="erase records first stored more than N days ago, now and from now on"
    )
    time.add_argument("--for-ever", action="store_true", help="no retention limit")
    add_order(retain)


def _part(parts: Subparsers, name: str, what: str) -> Parser:
    part = parts.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="Exit codes: 0 done, 1 not possible or not confirmed, 2 wrong usage.",
    )
    part.add_argument("--store", metavar="URL", help="the cloud's store (default: SQLite in ~/.gradata/cloud)")
    add_json(part)
    part.set_defaults(part=name, run=_run)
    return part


def _brain(part: Parser) -> None:
    part.add_argument("brain", metavar="BRAIN", help="brain id, as shown by `list`")


def _run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    given = vars(chosen)
    names = ("brain", "event", "log", "record", "days", "dry_run", "yes")
    return run(
        BrainsOptions(chosen.part, chosen.store, chosen.json, **{name: given[name] for name in names if name in given}),
        terminal,
    )


def run(options: BrainsOptions, terminal: Terminal) -> int:
    with needs_server():
        from gradata.cloud.store.open import open_store
    url = options.store or default_store()
    _check(options, url)
    store = open_store(url)
    try:
        match options.part:
            case "list":
                return _list(store, options, terminal)
            case "delete":
                return _delete(store, options, terminal)
            case "readmit":
                return _readmit(store, options, terminal)
            case "erase":
                return _erase(store, options, terminal)
            case "retain":
                return _retain(store, options, terminal)
    finally:
        store.close()


def _check(options: BrainsOptions, url: str) -> None:
    """Reject invalid arguments before a store is opened: opening a missing one would create it."""
    from gradata.cloud.service.deletion import RETAIN_DAYS_MAX

    if (options.log is None) != (options.record is None) or (options.record or 0) < 0:
        raise ConfigurationError("a record is named by --log and --record, from 0", hint="or by --event ID")
    if options.days is not None and not 1 <= options.days <= RETAIN_DAYS_MAX:
        raise ConfigurationError(f"--days is from 1 to {RETAIN_DAYS_MAX:,}", hint="--for-ever keeps everything")
    path = url.removeprefix("sqlite:").removeprefix("//")
    if url.startswith("sqlite:") and not os.path.exists(path):
        raise ConfigurationError(f"there is no store at {path}", hint="name it with --store; `gradata serve` makes one")


def _list(store: Store, options: BrainsOptions, terminal: Terminal) -> int:
    from gradata.cloud.routes.brain_json import standing_json

    brains = [
        standing_json(brain) | {"workspace": workspace}
        for workspace in store.workspaces()
        for brain in store.standings(workspace)
    ]
    if options.json:
        terminal.json({"brains": brains})
    elif not brains:
        terminal.out("no brains")
    else:
        names = ("brain_id", "workspace", "events", "bytes", "stored_at", "retain_days", "deleted_at")
        terminal.table(names, [["-" if brain[name] is None else brain[name] for name in names] for brain in brains])
    return FINE


def _workspace(store: Store, options: BrainsOptions) -> str:
    from gradata.cloud.service.deletion import UnknownError
    from gradata.cloud.store.reading import owner_of

    workspace = owner_of(store, options.brain)
    if workspace is None:
        raise UnknownError(f"there is no brain {options.brain}", hint="gradata brains list")
    return workspace


def _confirmed(what: str, options: BrainsOptions, terminal: Terminal) -> bool:
    if terminal.confirm(what, yes=options.yes):
        return True
    terminal.fail("not confirmed: nothing was changed")
    return False


def _delete(store: Store, options: BrainsOptions, terminal: Terminal) -> int:
    from gradata.cloud.clock import now_us
    from gradata.cloud.service import deletion

    workspace = _workspace(store, options)
    before = deletion.standing(store, workspace, options.brain)
    if not options.json:
        terminal.out(
            f"from {options.brain}, {before.events:,} events and {before.offset:,} bytes in {before.logs} logs"
            " → to deleted: its clients get 410 and stop"
        )
    removed = 0
    if not options.dry_run:
        if not _confirmed(f"delete {options.brain}", options, terminal):
            return PROBLEM
        deletion.delete(store, workspace, options.brain, now=now_us())
        removed = deletion.purge(store, workspace, options.brain)
    if options.json:
        terminal.json(
            {"brain_id": options.brain, "deleted": not options.dry_run, "events": before.events,
             "bytes": before.offset, "removed_rows": removed, "dry_run": options.dry_run}
        )  # fmt: skip
    return FINE


def _readmit(store: Store, options: BrainsOptions, terminal: Terminal) -> int:
    from gradata.cloud.service import deletion

    workspace = _workspace(store, options)
    if deletion.standing(store, workspace, options.brain).deleted_at is None:
        raise deletion.UnknownError(f"{options.brain} was not deleted", hint="gradata brains list")
    if not options.json:
        terminal.out(f"from {options.brain} deleted → to unknown: a client that sends it starts again")
    if not options.dry_run:
        if not _confirmed(f"readmit {options.brain}", options, terminal):
            return PROBLEM
        deletion.readmit(store, workspace, options.brain)
        if not options.json:
            terminal.say("its client sends it again at its next start, or after: gradata cursor reset --to-offset 0")
    if options.json:
        terminal.json({"brain_id": options.brain, "readmitted": not options.dry_run, "dry_run": options.dry_run})
    return FINE


def _erase(store: Store, options: BrainsOptions, terminal: Terminal) -> int:
    from gradata.cloud.clock import now_us
    from gradata.cloud.routes.brain_json import erased_json
    from gradata.cloud.service import deletion

    workspace = _workspace(store, options)
    target = _target(options)
    done = deletion.erase(store, workspace, options.brain, target, now=now_us(), dry_run=True)
    if not options.json:
        terminal.out(f"from {len(done.places)} records and {done.loose} loose events with these bytes → to tombstones")
    if not options.dry_run:
        if not _confirmed("erase them for good", options, terminal):
            return PROBLEM
        done = deletion.erase(store, workspace, options.brain, target, now=now_us())
    if options.json:
        terminal.json(erased_json(options.brain, done, dry_run=options.dry_run))
    return FINE


def _target(options: BrainsOptions) -> Target:
    from gradata.cloud.service.deletion import Target

    return Target(options.event, options.log, options.record)


def _retain(store: Store, options: BrainsOptions, terminal: Terminal) -> int:
    from gradata.cloud.clock import now_us
    from gradata.cloud.service import deletion

    workspace = _workspace(store, options)
    before = deletion.standing(store, workspace, options.brain)
    kept = None if before.retain_us is None else before.retain_us // deletion.DAY_US
    if not options.json:
        terminal.out(f"from {_days(kept)} → to {_days(options.days)}")
    expired = 0
    if not options.dry_run:
        if not _confirmed(f"keep the bytes of {options.brain} {_days(options.days)}", options, terminal):
            return PROBLEM
        deletion.retain(store, workspace, options.brain, options.days)
        if options.days is not None:
            oldest = now_us() - options.days * deletion.DAY_US
            expired = deletion.expire(store, workspace, options.brain, oldest)
    if options.json:
        terminal.json(
            {"brain_id": options.brain, "from_days": kept, "to_days": options.days, "expired_rows": expired,
             "dry_run": options.dry_run}
        )  # fmt: skip
    return FINE


def _days(days: int | None) -> str:
    return "for ever" if days is None else f"for {days:,} days"
