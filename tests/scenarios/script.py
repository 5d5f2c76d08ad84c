"""Runs scenario scripts: commands to a small world, and what the real Engine does in it, as text.

A script is a text file: a command, a line of dashes, what it prints, an empty line. Lines before a command that begin
with `#` are for the reader. `python -m tests.scenarios --regenerate` writes the output anew; review it as a diff.

    log append A B …      log cut N      log replace A B …      log edit NUMBER A      log fails CODE | heals
    log torn A            cloud refuses A [unnamed] | accepts
    cloud rollback N      cloud anew     cloud denies | allows | deletes | undeletes     cloud quarrels | agrees
    cloud body BYTES      cloud records N         cloud show
    send FAULT [× N]      beat FAULT [× N]        always FAULT | never
    run [SECONDS]         until everything is read and nothing troubles, or for so long
    crash [sidecar lost | sidecar kept | moved | elsewhere]      sidecar fails | heals | keep
    reset SIZE [confirmed]       key NAME         status         letters
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from replicator import actions as act
from replicator import status as st
from replicator.engine import Engine, EnginePorts
from replicator.model import Hole, Limits, Policy, Refusal
from replicator.proof import leaf_hash
from replicator.testing import (
    Fault,
    ManualClock,
    ManualWaker,
    MemoryCloud,
    MemoryLog,
    MemorySidecar,
    MemorySink,
    SidecarRows,
)
from replicator.testing.cloud import StoredPlace

DASHES = "----"
STEPS_MAX = 2_000
RUN_S_MAX = 600.0

FAULTS: dict[str, Fault] = {
    "unavailable": Fault(act.Unavailable("no connection")),
    "unavailable-30": Fault(act.Unavailable("503", 30.0)),
    "lost-answer": Fault(act.Unavailable("timed out"), arrives=True),
    "throttled": Fault(act.Throttled()),
    "throttled-20": Fault(act.Throttled(20.0)),
    "denied": Fault(act.Denied(401, "key_unknown")),
    "no-key": Fault(act.Denied(0, "no_key")),
    "misconfigured": Fault(act.Misconfigured(404, "404 (text/html): not an answer of the protocol")),
    "too-old": Fault(act.TooOld("the cloud is too old: it speaks schema 1 at most, this client 2")),
    "garbled": Fault(act.Garbled("200 (text/html): not JSON")),
    "too-large": Fault(act.TooLarge()),
    "refused-400": Fault(act.Refused(400, "malformed")),
    "refused-422": Fault(act.Refused(422, "refused")),
    "stranger-422": Fault(act.Refused(422, "422 (text/html): not an answer of the protocol", ours=False)),
    "stranger-413": Fault(act.TooLarge(ours=False)),
    "cut": Fault(act.Unavailable("no answer in time", cut=True)),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One command of a script, what is said before it, and what it printed when it was last regenerated."""

    comments: tuple[str, ...]
    command: str
    output: str


def parse(text: str) -> Iterator[Case]:
    """The cases of a script, in order."""
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        command, dashes, *output = lines[len(comments) :] if len(lines) > len(comments) else ["", DASHES]
        assert dashes == DASHES, f"no line of dashes behind {command!r}"
        yield Case(tuple(comments), command, "\n".join(output))


def regenerate(text: str) -> str:
    """The script with the output that its commands have now."""
    world = ScriptedWorld()
    blocks = []
    for case in parse(text):
        lines = list(case.comments)
        if case.command:
            lines += [case.command, DASHES, *world.do(case.command)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


class TracedEngine(Engine):
    """The real engine; what each action came to is passed on."""

    on_outcome: Callable[[act.Action, act.Outcome], None]

    def _do(self, action: act.Action) -> act.Outcome:
        outcome = super()._do(action)
        self.on_outcome(action, outcome)
        return outcome


class ScriptedWorld:
    """A log, a cloud, a sidecar and an engine between them, commanded by lines of text."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog()
        self.cloud = MemoryCloud()
        self.sink = MemorySink(self.cloud)
        self.sidecar = MemorySidecar()
        self.endpoint = "https://here/api/v1"
        self.lines: list[str] = []
        self._kept = SidecarRows()
        self._began = 0
        self._quarrels = False
        """Whatever generation is begun, the cloud says that it has other records under its name."""
        self._waited_s = 0.0
        self._idle_read = False
        self.engine = self._start()

    def do(self, command: str) -> list[str]:
        """Do one command; what it prints."""
        self.lines = []
        name, *words = command.split()
        getattr(self, f"_do_{name}")(words)
        return self.lines or ["ok"]

    def _start(self) -> TracedEngine:
        waker = ManualWaker(self.clock)
        engine = TracedEngine(
            EnginePorts(self.log, self.sidecar, self.sink, waker, self.clock),
            self.sidecar.load(),
            endpoint=self.endpoint,
            policy=Policy(),
            on_notice=self._told,
            jitter=lambda: 0.5,
            new_log_id=self._name_log,
        )
        engine.on_outcome = self._came_to
        return engine

    def _name_log(self) -> str:
        self._began += 1
        name = f"L{self._began}"
        if self._quarrels:
            self.cloud.logs[name] = (StoredPlace(leaf_hash(b"another\n"), 8, None),)
        return name

    # ------------------------------------------------------------------------------ running

    def _do_run(self, words: list[str]) -> None:
        until = self.clock() + float(words[0]) if words else None
        for _ in range(STEPS_MAX):
            action = self.engine.next_action()
            progress = self.engine.progress
            if until is None and isinstance(action, act.Wait) and progress.caught_up and progress.retry.trouble is None:
                break
            if self.clock() >= (until if until is not None else RUN_S_MAX):
                break
            self.engine.perform(action)
        self._say_wait()
        self._say_cursor()

    def _came_to(self, action: act.Action, outcome: act.Outcome) -> None:
        match action, outcome:
            case act.Wait(until), _:
                self._waited_s += 0.0 if until is None else until - self._waiting_from
                self._idle_read = False
            case act.Read(), act.Nothing() if self._waited_s:
                self._idle_read = True
            case _:
                self._say_wait()
                self.lines.append(f"{_in_words(action)} → {_outcome_in_words(outcome)}")

    @property
    def _waiting_from(self) -> float:
        return self.clock() - (self.engine._ports.waker.waits[-1] or 0.0)  # type: ignore[attr-defined]

    def _say_wait(self) -> None:
        if self._waited_s:
            self.lines.append(f"wait {self._waited_s:g} s")
        if self._idle_read:
            self.lines.append("read → nothing")
        self._waited_s, self._idle_read = 0.0, False

    def _told(self, notice: st.Notice) -> None:
        self._say_wait()
        self.lines.append(f"{'!!' if notice.grave else '!'} {notice.code}: {notice.text}")

    def _say_cursor(self) -> None:
        p = self.engine.progress
        if p.standing is None:
            self.lines.append("= no cursor")
            return
        parts = [f"{p.cursor.log_id} at record {p.cursor.size}, offset {p.cursor.offset} of {self.log.end()}"]
        durable = p.saving.durable.cursor.size if p.saving.durable is not None else None
        if p.saving.durable is None or p.saving.durable.cursor != p.cursor:
            parts.append(f"durable {durable}")
        if p.standing.resend is not None:
            parts.append(f"sending again up to {p.standing.resend.size}")
        if p.retry.trouble is not None:
            parts.append(f"trouble {p.retry.trouble.code}")
        self.lines.append("= " + ", ".join(parts))

    # ------------------------------------------------------------------------------ commands

    def _do_log(self, words: list[str]) -> None:
        records = self.log.records
        match words:
            case ["append", *texts]:
                self.log.torn = b""
                for text in texts:
                    records.extend(_records(text))
            case ["cut", size]:
                del records[int(size) :]
            case ["replace", *texts]:
                records[:] = [record for text in texts for record in _records(text)]
            case ["edit", number, text]:
                records[int(number)] = text.encode() + b"\n"
            case ["torn", text]:
                self.log.torn = text.encode()
            case ["fails", code]:
                self.log.failing = act.ReadFailed(code, f"the log cannot be read: {code}")
            case ["heals"]:
                self.log.failing = None
            case _:
                raise AssertionError(words)

    def _do_cloud(self, words: list[str]) -> None:
        cloud = self.cloud
        match words:
            case ["rollback", size]:
                for log_id in cloud.logs:
                    cloud.roll_back(log_id, int(size))
            case ["anew"]:
                cloud.make_anew("cloud-2")
            case ["denies" | "allows" as word]:
                refused = act.Denied(401, "key_unknown", "the server refused the API key")
                cloud.denied = refused if word == "denies" else None
            case ["quarrels" | "agrees" as word]:
                self._quarrels = word == "quarrels"
            case ["deletes" | "undeletes" as word]:
                cloud.gone = word == "deletes"
            case ["refuses", text, *unnamed]:
                cloud.refused.add(text.encode() + b"\n")
                cloud.names_refused = not unnamed
            case ["accepts"]:
                cloud.refused.clear()
            case ["body", size]:
                cloud.body_bytes_max = int(size) or None
            case ["records", count]:
                cloud.limits = Limits(records=int(count))
            case ["show"]:
                self._show_cloud()
            case _:
                raise AssertionError(words)

    def _show_cloud(self) -> None:
        for log_id, replica in self.cloud.logs.items():
            places = [(place.record or b"-").decode().strip() for place in replica]
            shown = " ".join(places) if len(places) <= 12 else f"{len(places)} records"
            holes = sum(place.record is None for place in replica)
            self.lines.append(f"{log_id}: {shown}" + (f" ({holes} without bytes)" if holes else ""))

    def _do_send(self, words: list[str]) -> None:
        self._add_fault("send", words)

    def _do_beat(self, words: list[str]) -> None:
        self._add_fault("beat", words)

    def _add_fault(self, request: Literal["send", "beat"], words: list[str]) -> None:
        times = int(words[2]) if len(words) == 3 else 1
        fault = replace(FAULTS[words[0]], request=request)
        self.sink.faults.extend([fault] * times)

    def _do_always(self, words: list[str]) -> None:
        self.sink.always = FAULTS[words[0]]

    def _do_never(self, words: list[str]) -> None:
        self.sink.always = None

    def _do_crash(self, words: list[str]) -> None:
        rows = self.sidecar.rows
        match words:
            case ["sidecar", "lost"]:
                self.sidecar = MemorySidecar()
            case ["sidecar", "kept"]:
                self.sidecar = MemorySidecar(self._kept)
            case ["moved"]:
                self.endpoint = "https://there/api/v1"
                self.sidecar = MemorySidecar(rows)
            case ["elsewhere"]:
                self.endpoint = "https://there/api/v1"
                self.cloud.make_anew("cloud-2")
                self.sidecar = MemorySidecar(rows)
            case _:
                self.sidecar = MemorySidecar(rows)
        self.engine = self._start()

    def _do_sidecar(self, words: list[str]) -> None:
        if words == ["keep"]:
            self._kept = copy.deepcopy(self.sidecar.rows)
            return
        self.sidecar.failing = "disk full" if words == ["fails"] else None

    def _do_reset(self, words: list[str]) -> None:
        cursor = self.log.locate("-", int(words[0]))
        self.sidecar.ask_reset(act.ResetOrder(cursor, confirmed=words[1:] == ["confirmed"]))

    def _do_key(self, words: list[str]) -> None:
        self.sink.key = words[0]

    def _do_letters(self, words: list[str]) -> None:
        for kept in self.sidecar.dead_letters():
            letter = kept.letter
            self.lines.append(
                f"{letter.log_id} record {letter.record}, {letter.length} bytes at {letter.offset}: {letter.code}"
            )

    def _do_status(self, words: list[str]) -> None:
        status = self.engine.refresh()
        trouble = f", trouble {status.trouble.code} since {status.trouble.since}" if status.trouble else ""
        self.lines.append(
            f"{status.state}, {status.size} records, backlog {status.backlog_bytes} bytes, "
            f"{status.dead_letters} dead letters, last ack {status.last_ack_at}{trouble}"
        )
        self.lines.append(
            f"requests {status.requests}, accepted {status.accepted}, duplicates {status.duplicates}, "
            f"rewinds {status.rewinds}, generations {status.generations}"
        )


def _records(text: str) -> list[bytes]:
    """`a` is one record; `a*5` is five, numbered; `a~9` is one of 9 bytes."""
    name, star, count = text.partition("*")
    if star:
        return [f"{name}{number}\n".encode() for number in range(int(count))]
    name, tilde, length = text.partition("~")
    return [name.encode().ljust(int(length) - 1, b".") + b"\n"] if tilde else [text.encode() + b"\n"]


def _in_words(action: act.Action) -> str:
    match action:
        case act.Send(load=load):
            if isinstance(load, Hole):
                return f"send [{load.first}, {load.first + 1}) as a place without bytes"
            without = f" without the bytes of {', '.join(map(str, load.holes))}" if load.holes else ""
            return f"send [{load.first}, {load.first + load.count}){without}"
        case act.Checkpoint(standing, letters):
            more = f" and {len(letters)} dead letters" if letters else ""
            return f"checkpoint {standing.cursor.log_id} at {standing.cursor.size}{more}"
        case act.Compare(heads):
            return f"compare with {', '.join(str(head.size) for head in heads)}"
        case act.Begin(parent):
            return f"begin after {parent}" if parent else "begin"
        case _:
            return type(action).__name__.lower().replace("beat", "heartbeat")


def _outcome_in_words(outcome: act.Outcome) -> str:
    match outcome:
        case act.SaveFailed() | act.Nothing() | act.Woken() | act.Saved():
            return {"SaveFailed": "failed"}.get(type(outcome).__name__, type(outcome).__name__.lower())
        case act.Began() | act.Broken() | act.ReadFailed() | act.Compared() | act.Found():
            return _found_in_words(outcome)
        case _:
            return _answer_in_words(outcome)


def _found_in_words(outcome: act.Began | act.Broken | act.ReadFailed | act.Compared | act.Found) -> str:
    match outcome:
        case act.Found(load):
            return f"{load.count} records" if not isinstance(load, Hole) else f"a hole of {load.length} bytes"
        case act.Compared(cursor):
            return "the log has none of them" if cursor is None else f"the log has {cursor.log_id} at {cursor.size}"
        case act.Began(log_id):
            return log_id
        case act.Broken(reason):
            return f"broken: {reason}"
        case act.ReadFailed(code):
            return code


def _answer_in_words(outcome: act.Outcome) -> str:
    match outcome:
        case act.Acked(head=head, accepted=accepted, duplicates=duplicates, refused=refused):
            more = f", {duplicates} duplicates" if duplicates else ""
            return f"acked to {head.size}, {accepted} new{more}{_refused_in_words(refused)}"
        case act.Heard(head=head):
            return f"the cloud has {head.size}"
        case act.Mismatch(head=head, record=record):
            return f"409, the cloud has {head.size}" + (f", {record} differs" if record is not None else "")
        case act.Recalled(heads):
            return f"{len(heads)} logs"
        case act.Denied(status):
            return f"denied, {status or 'no key'}"
        case act.Refused(status, _, record):
            return f"refused, {status}" + (f", names {record}" if record is not None else "")
        case _:
            return type(outcome).__name__.lower()


def _refused_in_words(refused: tuple[Refusal, ...]) -> str:
    return f", {len(refused)} not kept" if refused else ""
