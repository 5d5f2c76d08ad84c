"""`gradata verify`: prove that the cloud's copy is this log, or name the records that differ; mend what it lost."""

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
HELP = "prove that the cloud's copy is this log; mend what the cloud lost"
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
class Options:
    """What was asked for."""

    brain: str | None
    endpoint: str | None
    json: bool
    deep: bool
    repair: bool


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Hash the log, have the cloud hash its copy, and compare. Where they differ, the records are named."
        " Nothing is overwritten on either side: --repair sends what the cloud lost, and the cloud takes it only where"
        " it has the leaf of these very bytes.",
        epilog="Exit codes: 0 identical; 1 differences, mended or mendable; 2 diverged: a person decides (or wrong"
        " usage); 3 the cloud cannot be reached.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--deep", action="store_true", help="have the cloud hash every stored byte again (the default)")
    depth.add_argument("--shallow", action="store_true", help="compare roots and count rows; quicker, and no proof")
    parser.add_argument("--repair", action="store_true", help="send the missing and damaged records again")
    parser.set_defaults(
        run=lambda chosen, terminal: run(
            Options(chosen.brain, chosen.endpoint, chosen.json, not chosen.shallow, chosen.repair), terminal
        )
    )


def run(options: Options, terminal: Terminal) -> int:
    """Compare, mend if asked to, and print what came of it."""
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
        terminal.out(f"sent {sent:,} records again; {taken:,} are as they should be at the cloud now")
        for number, why in proof.repaired.refused[:SHOWN_MAX]:
            terminal.out(f"record {number:,} was not taken: {why}")
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
        words.append("the cloud's bytes were not hashed again; that does: gradata verify")
    if verdict.holes:
        words.append(f"{verdict.holes:,} places have no bytes at the cloud, only their leaf: dead letters, or erased")
    if verdict.waiting:
        words.append(f"{verdict.waiting:,} records behind these wait to be sent")
    return words


def _hint(proof: Proof) -> str:
    verdict = proof.verdict
    if verdict.tiles_damaged:
        return "the cloud's store needs its operator: gradata store --help"
    if verdict.only_at_cloud:
        return "bring back what only the cloud has: gradata restore (or gradata restore --merge)"
    if verdict.edited:
        return (
            "the cloud keeps the records as they were: see them with gradata restore -o FILE; nothing was overwritten"
        )
    if proof.repaired is None and (verdict.missing or verdict.damaged):
        return "mend it with: gradata verify --repair"
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
