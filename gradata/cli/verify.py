"""`gradata verify`: prove that the cloud's copy equals this log, or name what differs; repair what it lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_endpoint, add_json, settled
from gradata.hints import hint_of

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.recovery.verify import Proof
    from replicator.recovery.verify import Difference, ReplicaVerdict, What

NAME = "verify"
HELP = "prove that the cloud's copy equals this log; repair what the cloud lost"
DIVERGED, UNREACHABLE = 2, 3
SHOWN_MAX = 20

WORDS: dict[What, str] = {
    "missing_at_cloud": "missing at the cloud",
    "damaged_at_cloud": "damaged at the cloud",
    "edited_here": "edited here",
    "only_at_cloud": "only at the cloud",
    "placeholder_here": "only a placeholder here",
}


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    brain: str | None
    endpoint: str | None
    json: bool
    deep: bool
    repair: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Hash the log, have the cloud hash its copy, and compare. Records that differ are named. Nothing "
        "is overwritten on either side: --repair resends what the cloud lost, and the cloud accepts a "
        "record only if its hash is the stored leaf.",
        epilog="Exit codes: 0 identical; 1 differences that --repair can fix or has fixed; 2 diverged, a person "
        "decides (or wrong usage); 3 the cloud cannot be reached.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--deep", action="store_true", help="have the cloud hash every stored byte (the default)")
    depth.add_argument("--shallow", action="store_true", help="compare roots and row counts only; faster, and no proof")
    parser.add_argument("--repair", action="store_true", help="resend missing and damaged records")
    parser.set_defaults(
        run=lambda chosen, terminal: run(
            VerifyOptions(chosen.brain, chosen.endpoint, chosen.json, not chosen.shallow, chosen.repair), terminal
        )
    )


def run(options: VerifyOptions, terminal: Terminal) -> int:
    """Compare, repair if asked to, and print the result."""
    from gradata.recovery import verify
    from replicator.errors import CloudError

    settings = settled(options.brain, options.endpoint)
    began = time.monotonic()

    def progress(records: int, length: int) -> None:
        terminal.progress(f"{records:,} records, {length / 1e6:,.1f} MB hashed")

    try:
        proof = verify.prove(settings, deep=options.deep, repairing=options.repair, on_progress=progress)
    except CloudError as error:
        terminal.fail(str(error), hint_of(error))
        return UNREACHABLE
    if options.json:
        terminal.json(_json(proof, time.monotonic() - began))
    else:
        _show(proof, terminal)
    return {"identical": FINE, "differences": PROBLEM, "diverged": DIVERGED}[proof.verdict.state]


def _show(proof: Proof, terminal: Terminal) -> None:
    verdict = proof.verdict
    if verdict.state == "identical":
        terminal.marked("ok", _identical(verdict))
    else:
        found = [f"{count:,} {WORDS[what]}" for what, count in verdict.counts.items() if count]
        if verdict.more:
            found.append("and more were edited")
        if verdict.tiles_damaged:
            found.append(f"{verdict.tiles_damaged:,} of the cloud's tiles damaged")
        terminal.marked("fail", f"{'; '.join(found)} (of {verdict.size:,} records, {_size(verdict)})")
        terminal.table(("record", "offset", "event", "what"), [_row(each) for each in verdict.named[:SHOWN_MAX]])
        if sum(verdict.counts.values()) > SHOWN_MAX:
            terminal.out(f"… the first {SHOWN_MAX}; more with --json")
    for words in _besides(verdict):
        terminal.out(words)
    if proof.repaired is not None:
        sent, taken = proof.repaired.sent, proof.mended
        terminal.out(f"resent {sent:,} records; {taken:,} are correct at the cloud now")
        for number, why in proof.repaired.refused[:SHOWN_MAX]:
            terminal.out(f"record {number:,} was not accepted: {why}")
    hint = _hint(proof)
    if hint:
        terminal.warn(f"hint: {hint}")


def _identical(verdict: ReplicaVerdict) -> str:
    how = "proven identical" if verdict.deep else "same root, no gaps"
    waiting = "the first " if verdict.waiting else ""
    return f"{how}: {waiting}{verdict.size:,} records, {_size(verdict)}, root {verdict.root.hex()[:12]}…"


def _size(verdict: ReplicaVerdict) -> str:
    length = verdict.length
    return f"{length / 1e6:,.0f} MB" if length >= 10_000_000 else f"{length:,} bytes"


def _besides(verdict: ReplicaVerdict) -> list[str]:
    words = []
    if not verdict.deep and verdict.state == "identical":
        words.append("the cloud's bytes were not hashed; for that, run: gradata verify")
    if verdict.holes:
        words.append(f"{verdict.holes:,} records have no bytes at the cloud, only their hash: dead letters or erased")
    if verdict.waiting:
        words.append(f"{verdict.waiting:,} newer records are not sent yet")
    return words


def _hint(proof: Proof) -> str:
    verdict = proof.verdict
    if verdict.tiles_damaged:
        return "the cloud's store needs its operator: gradata store --help"
    if verdict.only_at_cloud:
        return "restore what only the cloud has: gradata restore (or gradata restore --merge)"
    if verdict.edited:
        return "the cloud keeps the original records: see them with gradata restore -o FILE; nothing was overwritten"
    if proof.repaired is None and (verdict.missing or verdict.damaged):
        return "repair it with: gradata verify --repair"
    if verdict.placeholders:
        return "the cloud may have their bytes by now: gradata restore -o FILE"
    return ""


def _row(each: Difference) -> tuple[object, ...]:
    offset = "-" if each.offset is None else each.offset
    return each.number, offset, each.event_id or "-", WORDS[each.what]


def _json(proof: Proof, seconds: float) -> dict[str, object]:
    verdict, repaired = proof.verdict, proof.repaired
    return {
        "state": verdict.state,
        "deep": verdict.deep,
        "log_id": verdict.log_id,
        "records": verdict.size,
        "bytes": verdict.length,
        "root": verdict.root.hex(),
        "cloud_records": verdict.cloud_size,
        "waiting": verdict.waiting,
        "without_bytes": verdict.holes,
        **{str(what): count for what, count in verdict.counts.items()},
        "more": verdict.more,
        "tiles_damaged": verdict.tiles_damaged,
        "differences": [
            {"record": each.number, "offset": each.offset, "event_id": each.event_id, "what": each.what}
            for each in verdict.named
        ],
        "sent": 0 if repaired is None else repaired.sent,
        "mended": proof.mended,
        "not_taken": [] if repaired is None else [{"record": n, "why": why} for n, why in repaired.refused],
        "wire_bytes": proof.wire_bytes,
        "seconds": round(seconds, 3),
    }
