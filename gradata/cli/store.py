"""`gradata store migrate|backup|restore|check`: maintenance of the cloud's store."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gradata.cli.commands import FINE, PROBLEM, Parser, Subparsers, add_json, add_order, needs_server
from gradata.cli.keys import default_store
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.cloud.service.integrity import LogReport

NAME = "store"
HELP = "migrate, back up, restore or check the store of a cloud"
NAMED_MAX = 20


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What was asked for. `partitions` 0: plain tables. `file`: the copy. `store` None: the default one."""

    part: Literal["migrate", "backup", "restore", "check"]
    store: str | None
    json: bool
    partitions: int = 0
    file: str = ""
    repair: bool = False
    dry_run: bool = False
    yes: bool = False


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its parts."""
    parser = commands.add_parser(NAME, help=HELP, description="The store of a cloud.")
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    part = parts.add_parser(
        "migrate",
        help="migrate the store to the latest schema",
        description="Migrate a PostgreSQL store to the latest schema. Safe to repeat, and while servers of the "
        "previous version are running. `gradata serve` does this at its start; use this command if the "
        "server's role may not create tables, or for partitions.",
        epilog="Exit codes: 0 the schema is up to date, 1 not possible, 2 wrong usage.",
    )
    part.add_argument("--store", required=True, metavar="URL", help="postgresql://…")
    part.add_argument(
        "--partitions",
        type=int,
        default=0,
        metavar="N",
        help="partition the large tables of an empty store by brain; 16 partitions cost 3 %% of the speed",
    )
    add_json(part)
    part.set_defaults(run=lambda chosen, terminal: run(_options("migrate", chosen), terminal))
    _add_backup(parts)
    _add_restore(parts)
    _add_check(parts)


def _add_backup(parts: Subparsers) -> None:
    part = parts.add_parser(
        "backup",
        help="write a verified copy of the store to a new file",
        description="Write one snapshot of the store to a new file and verify it, while servers run. On PostgreSQL it"
        " runs pg_dump. Records stored later are not in it; after a restore the clients send them again.",
        epilog="Exit codes: 0 the copy is complete and verified, 1 not possible, 2 wrong usage.",
    )
    part.add_argument("file", metavar="FILE", help="a file that does not exist yet")
    _finish(part, "backup")


def _add_restore(parts: Subparsers) -> None:
    part = parts.add_parser(
        "restore",
        help="replace the store by a backup",
        description="Replace the store by a file that `backup` wrote. All servers must be stopped. The old store is"
        " kept: on SQLite in files ending in .before-TIME, on PostgreSQL as the schema gradata_before_TIME.",
        epilog="Exit codes: 0 restored, 1 not possible or not confirmed, 2 wrong usage.",
    )
    part.add_argument("file", metavar="FILE", help="the backup")
    add_order(part)
    _finish(part, "restore")


def _add_check(parts: Subparsers) -> None:
    part = parts.add_parser(
        "check",
        help="verify the whole store",
        description="Verify the files (SQLite), the tree of every log against its stored bytes, and that every event"
        " is in the projection. Reads the whole store. Servers may run.",
        epilog="Exit codes: 0 no fault, 1 faults were found or the store cannot be read, 2 wrong usage.",
    )
    part.add_argument("--repair", action="store_true", help="rebuild events that are missing in the projection")
    _finish(part, "check")


def _finish(part: Parser, name: Literal["backup", "restore", "check"]) -> None:
    part.add_argument("--store", metavar="URL", help="the cloud's store (default: SQLite in ~/.gradata/cloud)")
    add_json(part)
    part.set_defaults(run=lambda chosen, terminal: run(_options(name, chosen), terminal))


def _options(part: Literal["migrate", "backup", "restore", "check"], chosen: argparse.Namespace) -> StoreOptions:
    given = {name: getattr(chosen, name) for name in StoreOptions.__slots__ if name != "part" and hasattr(chosen, name)}
    return StoreOptions(part, **given)


def run(options: StoreOptions, terminal: Terminal) -> int:
    """Run the part that was asked for; the exit code."""
    if options.part == "migrate":
        return _migrate(options, terminal)
    with needs_server():
        from gradata.cloud.store import backup
        from gradata.cloud.store.open import shown
    url = options.store or default_store()
    if options.part == "backup":
        size = backup.backup(url, options.file)
        if options.json:
            terminal.json({"file": options.file, "bytes": size})
        else:
            terminal.out(f"{shown(url)} -> {options.file}, {size:,} bytes, verified")
        return FINE
    return _restore(options, url, terminal) if options.part == "restore" else _check(options, url, terminal)


def _migrate(options: StoreOptions, terminal: Terminal) -> int:
    with needs_server():
        from gradata.cloud.store.open import is_shared
    assert options.store is not None, "the parser requires it"
    if not is_shared(options.store):
        raise ConfigurationError("only a PostgreSQL store can be migrated", hint="SQLite: `gradata serve` does it")
    with needs_server():
        from gradata.cloud.store.postgres.migrate import migrate_url
    done = migrate_url(options.store, partitions=options.partitions)
    if options.json:
        terminal.json({"from": done.before, "to": done.after})
    elif done.before == done.after:
        terminal.out(f"the schema is up to date: {done.after}")
    else:
        terminal.out(f"schema {done.before} -> {done.after}")
    return FINE


def _restore(options: StoreOptions, url: str, terminal: Terminal) -> int:
    from gradata.cloud.store import backup
    from gradata.cloud.store.open import shown

    kept = backup.restore(options.file, url, dry_run=True)
    if not options.json:
        terminal.out(f"from {options.file} → to {shown(url)}; the old store is kept as {', '.join(kept) or 'nothing'}")
    if not options.dry_run:
        if not terminal.confirm(f"restore {shown(url)}", yes=options.yes):
            terminal.fail("not confirmed: nothing was changed")
            return PROBLEM
        kept = backup.restore(options.file, url)
    if options.json:
        terminal.json({"store": shown(url), "kept": list(kept), "restored": not options.dry_run})
    return FINE


def _check(options: StoreOptions, url: str, terminal: Terminal) -> int:
    with needs_server():
        from gradata.cloud.clock import now_us
        from gradata.cloud.service import integrity
        from gradata.cloud.store.backup import fault_of_files
        from gradata.cloud.store.open import open_store
        from gradata.cloud.store.reading import living_brains
    fault = fault_of_files(url)
    reports: list[LogReport] = []
    restored = 0
    if fault is None:
        store = open_store(url)
        try:
            for workspace in store.workspaces():
                for brain_id in living_brains(store, workspace):
                    found = integrity.check_brain(store, workspace, brain_id)
                    if options.repair and any(report.events for report in found):
                        restored += integrity.rebuild(store, workspace, brain_id, now=now_us())
                        found = integrity.check_brain(store, workspace, brain_id)
                    reports += found
        finally:
            store.close()
    wrong = [report for report in reports if not report.sound]
    if options.json:
        shown = [_report_json(report) for report in wrong]
        terminal.json({"files": fault, "logs": len(reports), "wrong": shown, "events_restored": restored})
    else:
        _tell(fault, reports, restored, terminal)
    return PROBLEM if fault or wrong else FINE


def _report_json(report: LogReport) -> dict[str, object]:
    return {
        "log_id": report.log_id,
        "size": report.size,
        "missing": len(report.missing),
        "damaged": len(report.damaged),
        "displaced": len(report.displaced),
        "tiles": report.tiles,
        "root": report.root,
        "events_missing": len(report.events),
    }


def _tell(fault: str | None, reports: list[LogReport], restored: int, terminal: Terminal) -> None:
    if fault is not None:
        terminal.out(f"the files are damaged: {fault}")
        terminal.say("restore a backup: gradata store restore FILE")
        return
    wrong = [report for report in reports if not report.sound]
    for report in wrong[:NAMED_MAX]:
        counts = {
            "rows missing": report.missing,
            "rows damaged": report.damaged,
            "rows displaced": report.displaced,
            "events missing in the projection": report.events,
        }
        found = [f"{len(places):,} {what}" for what, places in counts.items() if places]
        found += [words for words in (report.tiles, report.root) if words]
        terminal.out(f"log {report.log_id} ({report.size:,} records): {'; '.join(found)}")
    if restored:
        terminal.out(f"{restored:,} events were restored to the projection")
    if any(report.events for report in wrong):
        terminal.say("to rebuild missing events: gradata store check --repair")
    if any(report.missing or report.damaged for report in wrong):
        terminal.say("to have rows sent again, on each client: gradata verify --repair")
    terminal.out(f"{len(reports):,} logs, {len(wrong):,} with faults")
