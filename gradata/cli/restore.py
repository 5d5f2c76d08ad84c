"""`gradata restore`: restore a brain's log from the cloud, with proof; or append what only the cloud has."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_endpoint, add_json, add_order
from gradata.hints import hint_of

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.recovery.restore import Plan, Restored, RestoreRequest
    from replicator.recovery.restore import Fetched

NAME = "restore"
HELP = "restore a log from the cloud, or append what only the cloud has"
UNREACHABLE = 3
SHOWN_MAX = 20

WAS = {
    "absent": "nothing is there",
    "behind": "the log there is a prefix of the copy",
    "identical": "the log there is identical",
    "ahead": "the log there has all of it and more",
    "other": "the log there is no prefix of the copy",
}


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    wanted: RestoreRequest
    endpoint: str | None
    json: bool
    force: bool
    dry_run: bool
    yes: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Download the copy of a log, resuming after an interruption, verify it while it is written, and "
        "move it into place. A log that is no prefix of the copy is not replaced without --force, which "
        "keeps the old one. Afterwards replication continues without resending anything.",
        epilog="Exit codes: 0 restored and proven, or nothing to do; 1 refused, not confirmed, or not completely "
        "proven; 2 wrong usage; 3 the cloud cannot be reached (run it again to resume).",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--log", metavar="ID", help="log to restore (--dry-run lists the brain's logs)")
    which.add_argument(
        "--brain",
        metavar="ID|DIR",
        help="restore the largest log of this brain; a directory selects the brain in it (default: as for --brain"
        " of other commands)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (default: the brain's log)")
    parser.add_argument(
        "--merge", action="store_true", help="append the events that only the cloud has; replace nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a log that is no prefix of the copy; the old one is kept"
    )
    add_endpoint(parser)
    add_json(parser)
    add_order(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> RestoreOptions:
    from gradata.recovery.restore import RestoreRequest

    wanted = RestoreRequest(chosen.log, chosen.brain, chosen.output, chosen.merge)
    return RestoreOptions(wanted, chosen.endpoint, chosen.json, chosen.force, chosen.dry_run, chosen.yes)


def run(options: RestoreOptions, terminal: Terminal) -> int:
    """Plan, ask before something is replaced, restore, and print the result."""
    from gradata.recovery import restore
    from replicator.errors import CloudError

    settings = restore.settled(options.wanted, options.endpoint)
    try:
        with restore.reader_for(settings) as reader:
            todo = restore.plan(options.wanted, settings, reader)
            if not options.json:
                _show_plan(todo, terminal)
            if options.dry_run:
                return _end(todo, None, options, terminal)
            replaces = todo.restore.was == "other" and not todo.merge
            if replaces and not options.force:
                raise restore.refused(todo.restore)
            if replaces and not terminal.confirm("replace the log, and keep it beside", yes=options.yes):
                terminal.fail("not confirmed: nothing was changed")
                return PROBLEM

            def progress(there: int, whole: int) -> None:
                terminal.progress(f"{there / 1e6:,.1f} of {whole / 1e6:,.1f} MB")

            return _end(todo, restore.carry_out(todo, reader, progress, force=options.force), options, terminal)
    except CloudError as error:
        terminal.fail(str(error), hint_of(error))
        return PROBLEM if error.status == 404 else UNREACHABLE


def _show_plan(todo: Plan, terminal: Terminal) -> None:
    plan = todo.restore
    head = plan.log.head
    terminal.out(
        f"from log {head.log_id} of the brain {todo.brain_id}: {head.size:,} records, {head.offset:,} bytes, stored"
        f" {plan.log.stored_at or '-'}"
    )
    terminal.out(f"→ to {plan.path}: {WAS[plan.was]}")
    if todo.others:
        terminal.out(f"the brain's other logs ({len(todo.others)}); name one with --log ID:")
        rows = [(log.head.log_id, log.head.size, log.head.offset, log.stored_at or "-") for log in todo.others]
        terminal.table(("log", "records", "bytes", "stored at"), rows[:SHOWN_MAX])


def _end(todo: Plan, done: Restored | None, options: RestoreOptions, terminal: Terminal) -> int:
    fetched = None if done is None else done.fetched
    if options.json:
        terminal.json(_json(todo, done))
    elif done is not None:
        for words in _in_words(todo, done):
            terminal.out(words)
        if fetched is not None and not fetched.proven:
            _show_unproven(fetched, terminal)
    return FINE if fetched is None or fetched.proven else PROBLEM


def _in_words(todo: Plan, done: Restored) -> list[str]:
    plan, head = todo.restore, todo.restore.log.head
    if done.merge is not None:
        words = [f"appended {done.appended:,} records ({done.merge.length:,} bytes) that only the cloud had"]
        if done.merge.conflicts:
            words.append(f"{done.merge.conflicts:,} events have other bytes there; the ones here stay")
        if done.merge.placeholders:
            words.append(f"{done.merge.placeholders:,} records have no bytes at the cloud")
        return words
    if done.fetched is None:
        words = ["nothing to do: the log has all of it"]
    else:
        how = "proven identical" if done.fetched.proven else "restored, but not completely proven"
        words = [f"{how}: {head.size:,} records, {head.offset:,} bytes, root {head.root.hex()[:12]}…"]
        words.append(f"{done.fetched.fetched_bytes:,} bytes downloaded; the log is {plan.path}")
    if done.backup is not None:
        words.append(f"the previous log is kept: {done.backup}")
    if done.adopted:
        words.append("replication continues from there; nothing is sent again")
    elif done.fetched is not None and todo.is_brain:
        words.append("replication starts a new generation: the cloud lost rows, and one line stands for them")
    return words


def _show_unproven(fetched: Fetched, terminal: Terminal) -> None:
    for place in fetched.placeholders[:SHOWN_MAX]:
        terminal.out(f"record {place.first:,}: a placeholder; its bytes are not at the cloud ({place.why})")
    for number in fetched.unproven[:SHOWN_MAX]:
        terminal.out(f"record {number:,}: NOT the bytes that were acknowledged; the cloud's copy is damaged there")
    if fetched.unproven:
        terminal.warn("hint: a machine that still has the log can repair the copy: gradata verify --repair")


def _json(todo: Plan, done: Restored | None) -> dict[str, object]:
    plan, head = todo.restore, todo.restore.log.head
    fetched = None if done is None else done.fetched
    return {
        "dry_run": done is None,
        "brain_id": todo.brain_id,
        "log_id": head.log_id,
        "records": head.size,
        "bytes": head.offset,
        "root": head.root.hex(),
        "target": plan.path,
        "was": plan.was,
        "shared_records": plan.shared,
        "others": [
            {"log_id": log.head.log_id, "records": log.head.size, "bytes": log.head.offset, "stored_at": log.stored_at}
            for log in todo.others
        ],
        "fetched_bytes": 0 if fetched is None else fetched.fetched_bytes,
        "proven": None if fetched is None else fetched.proven,
        "placeholders": []
        if fetched is None
        else [{"first": each.first, "end": each.end, "why": each.why} for each in fetched.placeholders],
        "unproven": [] if fetched is None else list(fetched.unproven),
        "backup": None if done is None else done.backup,
        "adopted": done is not None and done.adopted,
        "appended": 0 if done is None else done.appended,
        "conflicts": 0 if done is None or done.merge is None else done.merge.conflicts,
    }
