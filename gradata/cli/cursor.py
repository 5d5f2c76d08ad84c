"""`gradata cursor show|reset`: show the cursor, or move it back to resend records."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_json, add_order, settled

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.config.brain_dir import Directory
    from gradata.config.settings import Settings
    from gradata.replicate.state import CloudSide
    from replicator.model import Cursor
    from replicator.recovery import ResetPlan

NAME = "cursor"
HELP = "show the cursor, or move it back to resend records"
DONE_S = 5.0
"""How long to wait for a live leader to carry out the order, in seconds."""
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Show:
    """What `cursor show` was asked for."""

    brain: str | None
    json: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """What `cursor reset` was asked for."""

    brain: str | None
    json: bool
    offset: int | None
    event_id: str | None
    to_cloud: bool
    dry_run: bool
    yes: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME, help=HELP, description="The cursor: the position up to which the cloud has acknowledged the log."
    )
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    show = parts.add_parser("show", help="print the cursor", description="Print the cursor; changes nothing.")
    add_brain(show)
    add_json(show)
    show.set_defaults(run=lambda chosen, terminal: run_show(Show(chosen.brain, chosen.json), terminal))
    reset = parts.add_parser(
        "reset",
        help="move the cursor back and resend from there",
        description="Order a resend from an earlier position. Always safe: nothing is lost or stored twice. A live "
        "replicator carries the order out at once, otherwise the next one does. This also confirms a new "
        "endpoint that replication is held for.",
        epilog="Exit codes: 0 ordered, 1 not possible now or not confirmed, 2 no record begins there.",
    )
    add_brain(reset)
    add_json(reset)
    place = reset.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--to-offset", "--to", type=int, metavar="N", help="offset of the start of a record; 0 is the start of the log"
    )
    place.add_argument("--to-cloud", action="store_true", help="the cloud's position")
    place.add_argument("--to-event", metavar="ID", help="the first record of this event")
    add_order(reset)
    reset.set_defaults(run=lambda chosen, terminal: run_reset(_reset(chosen), terminal))


def _reset(chosen: argparse.Namespace) -> Reset:
    return Reset(
        chosen.brain, chosen.json, chosen.to_offset, chosen.to_event, chosen.to_cloud, chosen.dry_run, chosen.yes
    )


def run_show(options: Show, terminal: Terminal) -> int:
    """Print the durable cursor."""
    from gradata.config import brain_dir
    from replicator import recovery

    standing = recovery.standing(brain_dir.find(settled(options.brain).brain_dir).log)
    answer: dict[str, Any] = {
        "cursor": None if standing is None else cursor_json(standing.cursor),
        "cloud_id": None if standing is None else standing.cloud_id,
        "endpoint": None if standing is None else standing.endpoint,
        "resending_to": None if standing is None or standing.resend is None else standing.resend.size,
    }
    if options.json:
        terminal.json(answer)
    elif answer["cursor"] is None:
        terminal.out("there is no cursor yet; replication creates one from the cloud's head")
    else:
        terminal.facts([*answer.pop("cursor").items(), *answer.items()])
    return FINE


def cursor_json(cursor: Cursor) -> dict[str, object]:
    """The documented form of a cursor."""
    return {
        "log_id": cursor.log_id,
        "offset": cursor.offset,
        "size": cursor.size,
        "root": cursor.root.hex(),
        "event_id": cursor.event_id,
        "parent": cursor.parent,
    }


def run_reset(options: Reset, terminal: Terminal) -> int:
    """Show from where to where, ask for confirmation, and leave the order in the sidecar."""
    from gradata.config import brain_dir
    from replicator import recovery

    settings = settled(options.brain)
    place = brain_dir.find(settings.brain_dir)
    log, cloud = place.log, _cloud(settings, place)
    if options.to_cloud:
        plan = recovery.plan_reset(log, size=_cloud_size(cloud, log))
    else:
        plan = recovery.plan_reset(log, offset=options.offset, event_id=options.event_id)
    has = cloud.head.size if cloud.head is not None and cloud.in_step else None
    if not options.json:
        terminal.out(_in_words(plan, has))
    order, done = None, False
    if not options.dry_run:
        if not terminal.confirm("move the cursor back and resend", yes=options.yes):
            terminal.fail("not confirmed: nothing was changed")
            return PROBLEM
        order = recovery.order_reset(log, plan, confirmed=True)
        done = _wait(log, order)
    if options.json:
        terminal.json(_json(plan, order, done, has))
    elif order is not None:
        terminal.say("done" if done else "ordered; the next replicator carries it out: gradata replicate")
    return FINE


def _cloud(settings: Settings, place: Directory) -> CloudSide:
    """The cloud's head of this log, asked within two seconds: it tells how many resent records will be dropped."""
    from gradata.replicate import state

    return state.cloud_side(settings, place, state.local(place, count_bytes_max=0), from_file=False)


def _cloud_size(cloud: CloudSide, log: str) -> int:
    """The cloud's size of this log, at most the cursor's: a reset never skips records."""
    from replicator import recovery
    from replicator.errors import CloudError, CursorError

    if cloud.head is None:
        raise CloudError(
            f"the cloud does not say where it stands: {cloud.reason}",
            hint="try again later, or give a position: --to-offset N",
        )
    if not cloud.in_step:
        raise CursorError(
            "the cloud's position is not in this log: it has other records, or more",
            hint="see which: gradata verify",
        )
    here = recovery.standing(log)
    return cloud.head.size if here is None else min(cloud.head.size, here.cursor.size)


def _in_words(plan: ResetPlan, cloud_has: int | None) -> str:
    there, here = plan.there, plan.here
    if here is None:
        return f"from no cursor → to record {there.size:,}, offset {there.offset:,}"
    if cloud_has is None:
        drops = "the cloud drops those it already has as duplicates"
    else:
        dropped = plan.dropped(cloud_has)
        drops = f"the cloud has {dropped:,} of them and drops those as duplicates"
    return (
        f"from record {here.cursor.size:,}, offset {here.cursor.offset:,} → to record {there.size:,},"
        f" offset {there.offset:,}: {plan.again_records:,} records ({plan.again_bytes:,} bytes) are sent again; {drops}"
    )


def _json(plan: ResetPlan, order: int | None, done: bool, cloud_has: int | None) -> dict[str, object]:
    return {
        "from": None if plan.here is None else cursor_json(plan.here.cursor),
        "to": cursor_json(plan.there),
        "again_records": plan.again_records,
        "again_bytes": plan.again_bytes,
        "cloud_records": cloud_has,
        "dropped": None if cloud_has is None else plan.dropped(cloud_has),
        "order": order,
        "done": done,
        "dry_run": order is None,
    }


def _wait(log: str, order: int) -> bool:
    """Whether a live leader carried the order out within DONE_S seconds. False at once if there is none."""
    from replicator import recovery
    from replicator.lease import Lease, lease_path

    until = time.monotonic() + DONE_S
    while not (done := recovery.reset_is_done(log, order)):
        if time.monotonic() > until or Lease.holder(lease_path(log)) is None:
            break
        time.sleep(POLL_S)
    return done
