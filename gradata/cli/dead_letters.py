"""`gradata dead-letters list|retry|drop`: records that the cloud rejected for good."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gradata.cli.commands import (
    FINE,
    PROBLEM,
    Subparsers,
    add_brain,
    add_endpoint,
    add_json,
    add_order,
    settled,
)
from gradata.hints import hint_of
from replicator.errors import ConfigurationError, CursorError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from replicator.sidecar import KeptDeadLetter

NAME = "dead-letters"
HELP = "list the records that the cloud rejected, retry them, or drop them from the list"


@dataclass(frozen=True, slots=True)
class DeadLettersOptions:
    """`ids` empty: all."""

    part: Literal["list", "retry", "drop"]
    brain: str | None
    endpoint: str | None
    json: bool
    ids: tuple[int, ...] = ()
    dry_run: bool = False
    yes: bool = False


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Records that the cloud rejected for good. Their bytes stay in the log; the cloud has their place"
        " and hash.",
    )
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    listing = parts.add_parser("list", help="list dead letters", description="List the dead letters; changes nothing.")
    retry = parts.add_parser(
        "retry",
        help="send some or all of them again",
        description="Resend dead letters, each on its own. Those that the cloud accepts are removed from the list.",
        epilog="Exit codes: 0 all were accepted, 1 some were not, 2 wrong usage.",
    )
    drop = parts.add_parser(
        "drop",
        help="drop some or all of them from the list",
        description="Remove dead letters from the list. The log keeps their bytes; the cloud keeps their places "
        "without bytes.",
        epilog="Exit codes: 0 dropped, 1 not confirmed, 2 wrong usage.",
    )
    for part in (listing, retry, drop):
        add_brain(part)
        add_json(part)
    add_endpoint(retry)
    for part in (retry, drop):
        which = part.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", nargs="*", type=int, default=[], metavar="ID", help="number shown by `list`")
        which.add_argument("--all", action="store_true", help="all of them")
    add_order(drop)
    listing.set_defaults(part="list", run=_run)
    retry.set_defaults(part="retry", run=_run)
    drop.set_defaults(part="drop", run=_run)


def _run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    given = vars(chosen)
    options = DeadLettersOptions(
        chosen.part, chosen.brain, given.get("endpoint"), chosen.json, tuple(given.get("ids", ())),
        given.get("dry_run", False), given.get("yes", False),
    )  # fmt: skip
    return run(options, terminal)


def run(options: DeadLettersOptions, terminal: Terminal) -> int:
    from gradata.config import brain_dir

    log = brain_dir.find(settled(options.brain).brain_dir).log
    letters = _wanted(log, options.ids)
    match options.part:
        case "list":
            return _list(letters, options, terminal)
        case "retry":
            return _retry(log, letters, options, terminal)
        case "drop":
            return _drop(log, letters, options, terminal)


def _wanted(log: str, ids: tuple[int, ...]) -> list[KeptDeadLetter]:
    """Those of these ids (none: all); ConfigurationError for an id that is none."""
    from replicator import recovery

    found = recovery.dead_letters(log)
    unknown = set(ids) - {kept.id for kept in found}
    if unknown:
        raise ConfigurationError(
            f"there is no dead letter {', '.join(map(str, sorted(unknown)))}", hint="gradata dead-letters list"
        )
    return [kept for kept in found if not ids or kept.id in ids]


def _list(letters: list[KeptDeadLetter], options: DeadLettersOptions, terminal: Terminal) -> int:
    if options.json:
        terminal.json({"dead_letters": [_json(kept) for kept in letters], "total": len(letters)})
    elif not letters:
        terminal.out("no dead letters")
    else:
        rows = [
            (kept.id, kept.at, kept.letter.record, kept.letter.offset, kept.letter.length, kept.letter.code,
             kept.letter.detail)
            for kept in letters
        ]  # fmt: skip
        terminal.table(("id", "refused at", "record", "offset", "bytes", "code", "detail"), rows)
    return FINE


def _json(kept: KeptDeadLetter) -> dict[str, object]:
    letter = kept.letter
    return {
        "id": kept.id,
        "at": kept.at,
        "log_id": letter.log_id,
        "record": letter.record,
        "offset": letter.offset,
        "length": letter.length,
        "code": letter.code,
        "detail": letter.detail,
    }


def _retry(log: str, letters: list[KeptDeadLetter], options: DeadLettersOptions, terminal: Terminal) -> int:
    from gradata.config import brain_dir
    from gradata.replicate import once
    from replicator import recovery

    settings = settled(options.brain, options.endpoint)
    sink = once.open_sink(settings, brain_dir.find(settings.brain_dir))
    answers = []
    try:
        for kept in letters:
            try:
                outcome = recovery.retry_dead_letter(log, kept, sink)
            except CursorError as error:
                answers.append({"id": kept.id, "accepted": False, "detail": f"{error}; {hint_of(error, id=kept.id)}"})
                continue
            answers.append({"id": kept.id, **_said(outcome)})
    finally:
        sink.close()
    taken = sum(bool(answer["accepted"]) for answer in answers)
    if options.json:
        terminal.json({"retried": answers, "accepted": taken, "remaining": len(letters) - taken})
    else:
        for answer in answers:
            terminal.out(f"{answer['id']}: {'accepted' if answer['accepted'] else 'refused again'} {answer['detail']}")
        terminal.out(f"{taken:,} of {len(letters):,} accepted")
    return FINE if taken == len(letters) else PROBLEM


def _said(outcome: object) -> dict[str, object]:
    from replicator.actions import Acked

    if isinstance(outcome, Acked):
        why = outcome.refused[0] if outcome.refused else None
        return {"accepted": not outcome.refused_count, "detail": "" if why is None else f"{why.code} {why.detail}"}
    return {"accepted": False, "detail": f"{type(outcome).__name__.lower()}: {getattr(outcome, 'detail', '')}"}


def _drop(log: str, letters: list[KeptDeadLetter], options: DeadLettersOptions, terminal: Terminal) -> int:
    from replicator import recovery

    if not options.json:
        terminal.out(f"from {len(letters):,} dead letters → to none of these; the log keeps their bytes")
    dropped = 0
    if letters and not options.dry_run:
        if not terminal.confirm(f"give up {len(letters):,} dead letters", yes=options.yes):
            terminal.fail("not confirmed: nothing was changed")
            return PROBLEM
        dropped = recovery.drop_dead_letters(log, [kept.id for kept in letters])
    if options.json:
        terminal.json({"dropped": dropped, "wanted": len(letters), "dry_run": options.dry_run})
    elif not options.dry_run:
        terminal.say(f"{dropped:,} given up")
    return FINE
