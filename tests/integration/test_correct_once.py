"""The same content in the same session is the same event: in one process, in several, and behind a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradata import Brain
from gradata.brain import events
from gradata.brain.append_once import LOOK_BACK_BYTES, RecentCorrections
from gradata.brain.brain import Ports
from replicator.log import LogTail, PosixDisk
from tests.support.cli_runner import CommandLine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def brain(tmp_path: Path) -> Iterator[Brain]:
    """A brain that stays on this machine."""
    with Brain.init(tmp_path / "brain", environ={"HOME": str(tmp_path)}) as opened:
        yield opened


def rows(brain: Brain) -> list[dict[str, Any]]:
    """The log's events."""
    return [json.loads(line) for line in Path(brain.log_path).read_text("utf-8").splitlines()]


def again(brain: Brain, **ports: Any) -> Brain:
    """The same brain, opened as another process would."""
    return Brain(brain.dir, environ={"HOME": str(brain.dir.parent)}, ports=Ports(**ports))


def test_the_first_event_is_returned_and_nothing_is_appended(brain: Brain) -> None:
    """With its id and its time, and `duplicate`; the log keeps its bytes."""
    first = brain.correct("a b", "a c", "TONE", {"file": "x"})
    bytes_before = Path(brain.log_path).read_bytes()
    second = brain.correct("a b", "a c", "TONE", {"file": "x"})
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert second == {**first, "duplicate": True}
    assert Path(brain.log_path).read_bytes() == bytes_before
    with again(brain) as other:
        assert other.correct("a b", "a c", "TONE", {"file": "x"})["event_id"] == first["event_id"]


@pytest.mark.parametrize(
    "other",
    [
        {"draft": "a x"},
        {"final": "a x"},
        {"category": "FACTUAL"},
        {"context": {"file": "y"}},
        {"session": 2},
        {"agent_type": "codex"},
        {"scope": "universal"},
        {"applies_to": "reports"},
        {"idempotency_key": "k"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_another_event(brain: Brain, other: dict[str, Any]) -> None:
    """Whatever is said of a correction, and its session or key, tells it from another."""
    said = {"draft": "a b", "final": "a c", "session": 1}
    first = brain.correct(**said)
    second = brain.correct(**{**said, **other})
    assert second["duplicate"] is False
    assert first["event_id"] != second["event_id"]
    assert brain.correct(**said)["event_id"] == first["event_id"]
    assert brain.correct(**{**said, **other})["event_id"] == second["event_id"]
    assert len(rows(brain)) == 2


def test_a_new_session_is_a_new_event(brain: Brain) -> None:
    """After its end the same correction is made again, and counts again."""
    first = brain.correct("a b", "a c")
    brain.end_session(timeout_s=0)
    assert brain.correct("a b", "a c")["session"] == first["session"] + 1
    assert [row["type"] for row in rows(brain)] == ["CORRECTION", "SESSION_END", "CORRECTION"]


def test_texts_that_differ_behind_what_is_kept_are_two_events(brain: Brain) -> None:
    """Of each text 2,000 characters are kept; a digest of the whole tells these from one another."""
    same = "word " * 1_000
    first = brain.correct(same + "alpha omega", same + "beta omega")
    second = brain.correct(same + "omega alpha", same + "omega beta")
    assert first["data"]["draft_text"] == second["data"]["draft_text"]
    assert second["duplicate"] is False
    assert brain.correct(same + "alpha omega", same + "beta omega")["event_id"] == first["event_id"]


def test_a_key_names_the_correction_in_whatever_session(brain: Brain) -> None:
    """One that is used for other texts is refused, and nothing of the key stands in the log."""
    first = brain.correct("a b", "a c", idempotency_key="order bob@example.com")
    second = brain.correct("a b", "a c", session=7, category="TONE", idempotency_key="order bob@example.com")
    third = brain.correct("a b", "a c", idempotency_key="order eve@example.com")
    assert (second["event_id"], second["duplicate"]) == (first["event_id"], True)
    assert third["duplicate"] is False
    with pytest.raises(ValueError, match="other texts"):
        brain.correct("x", "y", idempotency_key="order bob@example.com")
    for key in ("", "k" * 201, 7):
        with pytest.raises(ValueError, match="idempotency_key must be text"):
            brain.correct("x", "y", idempotency_key=key)  # type: ignore[arg-type]
    assert len(rows(brain)) == 2
    assert b"example.com" not in Path(brain.log_path).read_bytes()


def test_a_field_of_that_name_in_a_context_is_no_key(brain: Brain) -> None:
    """What a caller says in its context names nothing."""
    key = brain.correct("a b", "a c", idempotency_key="k")["data"]["idempotency_key"]
    assert brain.correct("d e", "d f", context={"idempotency_key": key})["duplicate"] is False
    assert brain.correct("a b", "a c", idempotency_key="k")["duplicate"] is True


def test_a_dry_run_says_nothing_of_duplicates(brain: Brain) -> None:
    """It looks at no log and writes none."""
    brain.correct("a b", "a c")
    assert "duplicate" not in brain.correct("a b", "a c", dry_run=True)
    assert len(rows(brain)) == 1


CORRECT = """
import sys
from gradata import Brain
with Brain(sys.argv[1]) as brain:
    sys.stdin.readline()
    for number in range(20):
        print(brain.correct(f"a {number}", f"b {number}")["event_id"])
"""


def test_processes_that_record_the_same_record_it_once(brain: Brain) -> None:
    """Four at once, twenty corrections each: twenty events, and each process is told the same ids."""
    environ = {"HOME": str(brain.dir.parent), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CORRECT, str(brain.dir)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ,
        )
        for _ in range(4)
    ]  # fmt: skip
    told = [process.communicate("go\n", timeout=60)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(rows(brain)) == 20
    assert told == [[row["event_id"] for row in sorted(rows(brain), key=_number)]] * 4


def _number(row: dict[str, Any]) -> int:
    return int(row["data"]["draft_text"].split()[1])


DIES = """
import os, signal, sys
from gradata import Brain
from gradata.brain.brain import Ports
from replicator.log import PosixDisk

class DiesBeforeItIsDurable(PosixDisk):
    def fdatasync(self, fd):
        os.kill(os.getpid(), signal.SIGKILL)

Brain(sys.argv[1], ports=Ports(disk=DiesBeforeItIsDurable())).correct("a b", "a c")
"""


def test_a_kill_between_append_and_return_leaves_one_event(brain: Brain) -> None:
    """The program is started again and makes its correction again."""
    environ = {"HOME": str(brain.dir.parent), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DIES, str(brain.dir)], env=environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    (row,) = rows(brain)
    with again(brain) as other:
        event = other.correct("a b", "a c")
    assert (event["event_id"], event["duplicate"], event["durable"]) == (row["event_id"], True, True)
    assert len(rows(brain)) == 1


def test_a_line_that_lacks_its_newline_alone_is_the_event(brain: Brain) -> None:
    """A cut between the last byte and the newline: the line is ended, and stands once."""
    first = brain.correct("a b", "a c")
    whole = Path(brain.log_path).read_bytes()
    os.truncate(brain.log_path, len(whole) - 1)
    with again(brain) as other:
        assert other.correct("a b", "a c")["event_id"] == first["event_id"]
    assert Path(brain.log_path).read_bytes() == whole


def test_a_torn_line_is_no_event(brain: Brain) -> None:
    """What a crash left of a correction is not taken for it."""
    brain.correct("a b", "a c")
    os.truncate(brain.log_path, os.path.getsize(brain.log_path) - 40)
    with again(brain) as other:
        assert other.correct("a b", "a c")["duplicate"] is False


def test_another_log_in_its_place_is_looked_at_anew(brain: Brain) -> None:
    """Truncated or replaced under an open brain: what is gone is recorded again, what came is found."""
    first = brain.correct("a b", "a c")
    kept = Path(brain.log_path).read_bytes()
    os.truncate(brain.log_path, 0)
    assert brain.correct("a b", "a c")["duplicate"] is False
    Path(brain.log_path).unlink()
    Path(brain.log_path).write_bytes(b"x" * len(kept) * 2 + b"\n" + kept)
    assert brain.correct("a b", "a c")["event_id"] == first["event_id"]


class Unreadable(PosixDisk):
    """Appends, and refuses to read more than one byte."""

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """As a disk with bad blocks."""
        if length > 1:
            raise OSError(errno.EIO, "bad block")
        return super().pread(fd, length, offset)


def test_a_log_that_cannot_be_read_is_appended_to(brain: Brain) -> None:
    """Twice is better than not at all."""
    brain.correct("a b", "a c")
    with again(brain, disk=Unreadable()) as other:
        assert other.correct("a b", "a c")["duplicate"] is False
    assert len(rows(brain)) == 2


def test_memory_and_reading_are_bounded() -> None:
    """Only the log's end is looked at, each byte once, and what lies before it is forgotten."""
    recent, log, read = RecentCorrections(10_000), bytearray(), []

    def told(offset: int, length: int) -> bytes:
        read.append(length)
        return bytes(log[offset : offset + length])

    def event(number: int) -> events.Event:
        made = events.build("CORRECTION", "s", {"n": number}, tags=[], session=1, now=events.utc_now())
        return events.signed(made, brain_id="b", device_id="d", event_id=f"e{number}")

    for number in range(1_000):
        tail = LogTail(len(log), (1, 1), told)
        assert recent.find(tail, event(number)) is None
        log += events.line_of(event(number))
    tail = LogTail(len(log), (1, 1), told)
    found = recent.find(tail, event(990))
    assert found is not None
    assert found["event_id"] == "e990"
    assert recent.find(tail, event(100)) is None
    assert sum(read) < 2 * len(log)
    assert len(recent._places) < 100
    assert LOOK_BACK_BYTES == 8 * 1024 * 1024


def test_the_command_line_says_so(cli: CommandLine) -> None:
    """`duplicate` in its JSON; a key of its own makes another event."""
    command = ["correct", "--draft", "a b", "--final", "a c", "--json"]
    first, second = cli(*command).json, cli(*command).json
    keyed = [cli(*command, "--idempotency-key", "k").json for _ in range(2)]
    assert [first["duplicate"], second["duplicate"], *(each["duplicate"] for each in keyed)] == [
        False,
        True,
        False,
        True,
    ]
    assert first["event_id"] == second["event_id"] != keyed[0]["event_id"] == keyed[1]["event_id"]
    assert "recorded before" in cli(*command[:-1]).out
    assert cli.log.read_bytes().count(b"\n") == 2


def test_a_hook_records_an_edit_of_a_host_s_session_once(cli: CommandLine) -> None:
    """Told again later, or by another process; another session of the host is another correction."""
    edit = {"file_path": "a", "old_string": "old words", "new_string": "new words"}
    for number, session in enumerate(("s1", "s1", "s2")):
        told = {"hook_event_name": "PostToolUse", "tool_name": "Edit", "session_id": session, "cwd": str(cli.home)}
        said = json.dumps({**told, "tool_use_id": f"t{number}", "tool_input": edit})
        done = cli("hook", "capture", "--entry", f"gradata:claude-code:{cli.brain}", stdin=said, GRADATA_CAPTURE="all")
        assert (done.code, done.err) == (0, "")
    assert cli.log.read_bytes().count(b"\n") == 2
