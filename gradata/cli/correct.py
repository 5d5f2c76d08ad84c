"""`gradata correct`: record one correction."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradata.cli.commands import FINE, Subparsers, add_brain, add_endpoint, add_json, settled
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "correct"
HELP = "record one correction: a draft and its final text"
WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class CorrectOptions:
    """A text comes from the command line, a file, or stdin (`-`)."""

    brain: str | None
    endpoint: str | None
    json: bool
    draft: str | None
    draft_file: str | None
    final: str | None
    final_file: str | None
    category: str | None
    session: int | None
    scope: str | None
    idempotency_key: str | None
    dry_run: bool
    wait_s: float


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Record one correction durably on this machine. If replication is on, wait a short time for the "
        "cloud; what is not acknowledged by then is sent later.",
        epilog="Exit codes: 0 recorded (replicated or not), 1 not recorded, 2 wrong usage.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    for name in ("draft", "final"):
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(f"--{name}", metavar="TEXT", help=f"{name} text; - is stdin")
        source.add_argument(f"--{name}-file", metavar="FILE", help=f"file with the {name} text; - is stdin")
    parser.add_argument("--category", metavar="NAME", help="category (default: determined from the diff)")
    parser.add_argument("--session", type=int, metavar="N", help="session number")
    parser.add_argument("--scope", metavar="NAME", help="domain (default), one_off, universal or project")
    parser.add_argument(
        "--idempotency-key", metavar="TEXT", help="what names this correction, instead of its content in its session"
    )
    parser.add_argument("--dry-run", action="store_true", help="analyse without recording")
    parser.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="S", help=f"wait at most S seconds for the cloud ({WAIT_S:g})"
    )
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> CorrectOptions:
    return CorrectOptions(
        chosen.brain, chosen.endpoint, chosen.json, chosen.draft, chosen.draft_file, chosen.final, chosen.final_file,
        chosen.category, chosen.session, chosen.scope, chosen.idempotency_key, chosen.dry_run, chosen.wait,
    )  # fmt: skip


def run(options: CorrectOptions, terminal: Terminal) -> int:
    """Record the correction and print its event."""
    from gradata.brain.brain import Brain

    if "-" in (options.draft, options.draft_file) and "-" in (options.final, options.final_file):
        raise ConfigurationError(
            "only one of the two texts can be read from stdin", hint="put the other one into a file"
        )
    draft = _text(options.draft, options.draft_file, terminal)
    final = _text(options.final, options.final_file, terminal)
    settings = settled(options.brain, options.endpoint, only_recording=True)
    brain = Brain(settings.brain_dir, endpoint=options.endpoint)
    try:
        event = brain.correct(
            draft,
            final,
            options.category,
            session=options.session,
            scope=options.scope,
            dry_run=options.dry_run,
            idempotency_key=options.idempotency_key,
        )
    except ValueError as error:
        brain.close(timeout_s=0)
        raise ConfigurationError(str(error), hint="gradata correct --help") from error
    drained = brain.close(timeout_s=0 if options.dry_run else options.wait_s)
    _show(options, event, None if drained is None or options.dry_run else drained.remaining_bytes, terminal)
    return FINE


def _text(text: str | None, path: str | None, terminal: Terminal) -> str:
    if "-" in (text, path):
        return terminal.read()
    if path is None:
        return text or ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="name a text file") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no UTF-8 text", hint="convert it with iconv") from error


def _show(options: CorrectOptions, event: dict[str, Any], remaining_bytes: int | None, terminal: Terminal) -> None:
    said = event["data"]
    answer = {
        "event_id": event["event_id"],
        "session": event["session"],
        "category": said["category"],
        "severity": said["severity"],
        "edit_distance": said["edit_distance"],
        "summary": said["summary"],
        "dry_run": options.dry_run,
        "duplicate": event.get("duplicate", False),
        "durable": event.get("durable"),
        "replication": "off" if remaining_bytes is None else "waiting" if remaining_bytes else "acknowledged",
        "remaining_bytes": remaining_bytes,
    }
    if options.json:
        terminal.json(answer)
        return
    verb = "would be recorded" if options.dry_run else "recorded before" if answer["duplicate"] else "recorded"
    terminal.out(f"{verb}: {answer['event_id']}  {said['category']}, {said['severity']}: {said['summary']}")
    if event.get("durable") is False:
        terminal.warn("the disk did not confirm it: look at the disk; do not repeat the correction, it stands")
    if remaining_bytes is None:
        terminal.say("it stays on this machine; see: gradata doctor")
    elif remaining_bytes:
        terminal.say(f"{remaining_bytes:,} bytes wait for the cloud; they are sent later automatically")
    else:
        terminal.say("the cloud has it")
