"""`gradata status`: compare the log, the cursor and the cloud."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_endpoint, add_json, settled

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "status"
HELP = "compare the log, the cursor and the cloud"
STATES = "off, starting, live, lagging, retrying, paused, held, stopped"


@dataclass(frozen=True, slots=True)
class StatusOptions:
    brain: str | None
    endpoint: str | None
    json: bool
    cloud: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Show the state of replication on this machine and at the cloud. Changes nothing.",
        epilog=f"States: {STATES}. Exit codes: 0 fine, or waiting for an unavailable cloud; 1 paused, held, stopped,"
        " unreadable, or not in step with the cloud; 2 wrong usage.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    parser.add_argument("--no-cloud", action="store_true", help="do not ask the cloud")
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> StatusOptions:
    return StatusOptions(chosen.brain, chosen.endpoint, chosen.json, not chosen.no_cloud)


def run(options: StatusOptions, terminal: Terminal) -> int:
    """Print the status. Returns 1 if a person should look."""
    from gradata.config import brain_dir
    from gradata.replicate import state

    settings = settled(options.brain, options.endpoint)
    place = brain_dir.find(settings.brain_dir)
    here = state.local(place)
    cloud = state.cloud_side(settings, place, here, from_file=True) if options.cloud else None
    answer = state.status_json(here, cloud)
    if options.json:
        terminal.json(answer)
    else:
        _show(answer, cloud is not None, terminal)
    astray = cloud is not None and cloud.head is not None and not cloud.in_step
    broken = bool(answer["errors"]) or here.state in ("paused", "held", "stopped")
    return PROBLEM if astray or broken else FINE


def _show(answer: dict[str, Any], asked: bool, terminal: Terminal) -> None:
    trouble, cloud, leader = answer["trouble"], answer["cloud"], answer["leader"]
    rows: list[tuple[str, object]] = [
        ("state", answer["state"]),
        ("replicated by", "nobody now" if leader is None else f"pid {leader['pid']} on {leader['host']}"),
        ("log", f"{answer['log']}, {answer['log_bytes']:,} bytes, last written {answer['last_event_at'] or 'never'}"),
        ("cursor", f"record {answer['size']:,}, offset {answer['offset']:,}"),
        ("backlog", f"{answer['backlog_records']:,} records, {answer['backlog_bytes']:,} bytes"),
        ("last ack", answer["last_ack_at"] or "never"),
        ("dead letters", answer["dead_letters"]),
    ]
    if cloud is not None:
        step = "in step: the same root" if cloud["in_step"] else "NOT in step with this log"
        rows.append(("cloud", f"{cloud['size']:,} records, {step} {cloud['root'][:16]}…"))
        if not cloud["in_step"]:
            rows.append(("what to do", "gradata verify names the records that differ; nothing is overwritten"))
    else:
        rows.append(("cloud", answer["cloud_reason"] if asked else "not asked"))
    if trouble is not None:
        rows.append(("trouble", f"{trouble['detail'] or trouble['code']}, since {trouble['since']}"))
        rows.append(("what to do", trouble["hint"]))
    rows.extend(("error", error) for error in answer["errors"])
    terminal.facts(rows)
