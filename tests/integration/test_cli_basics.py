"""`gradata` itself, `init` and `correct`, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.cli_runner import CommandLine, last_lines
from tests.support.cloud_fixture import LiveCloud

HEAVY = ("httpx", "watchfiles", "rapidfuzz", "sqlite3", "fastapi", "uvicorn", "rich", "orjson")


def test_help_is_light() -> None:
    """`gradata --help` loads nothing that only a command needs."""
    code = (
        "import sys\nfrom gradata.cli import main\ncode = main(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "usage: gradata" in done.stdout


def test_version(cli: CommandLine) -> None:
    """One line with the installed version."""
    done = cli("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("gradata 1.")


def test_init_makes_a_brain_and_keeps_one(cli: CommandLine) -> None:
    """Twice is as once: the same ids, nothing overwritten; the default place is the resolver's."""
    where = cli.home / "new brain"
    first, second = cli("init", str(where), "--json"), cli("init", str(where), "--json")
    assert (first.code, first.json["new"], second.json["new"]) == (0, True, False)
    assert {**first.json, "new": False} == second.json
    assert set(first.json) == {"brain", "brain_id", "device_id", "new", "replicates", "why_not"}
    assert (where / "events.jsonl").read_bytes() == b""
    del cli.environ["GRADATA_BRAIN"]
    assert cli("init", "--json").json["brain"] == str(cli.home / ".gradata" / "brain")


def test_init_says_whether_it_replicates(cli: CommandLine) -> None:
    """Without a key: what stays local, and what to do; with one: where it goes."""
    without = cli("init")
    assert "no API key" in without.err
    cli.use("http://127.0.0.1:9", "gk_live_x")
    assert "replicated to http://127.0.0.1:9" in cli("init").err


def test_correct_records_and_prints_the_event(cli: CommandLine) -> None:
    """Without a cloud it is on this machine's disk, and that is said; stdout has the answer alone."""
    done = cli("correct", "--draft", "We are pleased to inform you.", "--final", "We shipped it.", "--category", "tone")
    assert done.code == 0
    assert done.out.startswith("recorded: 01")
    assert "stays on this machine" in done.err
    (event,) = [json.loads(line) for line in cli.log.read_text().splitlines()]
    assert event["event_id"] in done.out
    assert event["data"]["category"] == "TONE"


def test_correct_takes_texts_from_files_and_stdin(cli: CommandLine) -> None:
    """`--draft-file`, `--final-file` and `-`, in any mixture that has one stdin."""
    draft = cli.home / "draft.txt"
    draft.write_text("the draft, ünïcödé", encoding="utf-8")
    for arguments in (("--draft-file", str(draft), "--final", "-"), ("--draft-file", str(draft), "--final-file", "-")):
        done = cli("correct", *arguments, "--json", stdin="the final text")
        assert done.code == 0, done.err
        last = json.loads(cli.log.read_text().splitlines()[-1])
        assert (last["data"]["draft_text"], last["data"]["final_text"]) == ("the draft, ünïcödé", "the final text")
        assert last["event_id"] == done.json["event_id"]


def test_correct_dry_run_writes_nothing(cli: CommandLine) -> None:
    """The analysis is shown, and the log is as it was."""
    done = cli("correct", "--draft", "a b", "--final", "a c", "--dry-run", "--json")
    assert done.code == 0
    assert done.json["dry_run"] is True
    assert cli.log.read_bytes() == b""


def test_correct_reaches_the_cloud_before_it_ends(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """A short-lived process with a cloud that answers ends with its correction acknowledged."""
    cli.use(shared_cloud.url, shared_cloud.key)
    done = cli("correct", "--draft", "a b", "--final", "a c", "--wait", "20", "--json")
    assert done.code == 0, done.err
    assert (done.json["replication"], done.json["remaining_bytes"]) == ("acknowledged", 0)
    assert cli("status", "--json").json["cloud"]["size"] == 1


def test_f45_correct_does_not_hang_on_a_cloud_that_is_away(cli: CommandLine) -> None:
    """Recorded, exit 0, and what waits is said."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    done = cli("correct", "--draft", "a b", "--final", "a c", "--wait", "0.2")
    assert done.code == 0
    assert "bytes wait for the cloud" in done.err


def test_f55_no_command_shows_the_key(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """A canary key is in no output of any command, and in no file of the brain."""
    canary = "gk_live_0badc0de_CANARYcanaryCANARYcanaryCANARYcanary0"
    cli.use(shared_cloud.url, canary)
    cli.append(1)
    commands = (
        ("init",), ("correct", "--draft", "a", "--final", "b", "--wait", "1"), ("replicate",), ("status",),
        ("status", "--json"), ("doctor",), ("doctor", "--json"), ("cursor", "show"), ("dead-letters", "list"),
    )  # fmt: skip
    for command in commands:
        done = cli(*command)
        assert "CANARY" not in done.out + done.err, command
    for path in cli.brain.rglob("*"):
        assert not path.is_file() or b"CANARY" not in path.read_bytes(), path


def test_a_reader_that_leaves_early_is_no_traceback(cli: CommandLine) -> None:
    """`gradata … | head -0`: the pipe breaks, nothing is complained about."""
    process = cli.start("doctor")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_wrong_usage_ends_with_error_and_hint(cli: CommandLine) -> None:
    """argparse's errors have the form of all others, and abbreviations are none."""
    for arguments in ((), ("nonsense",), ("status", "--js"), ("correct", "--draft", "a"), ("keys", "revoke")):
        done = cli(*arguments)
        error, hint = last_lines(done)
        assert (done.code, done.out) == (2, "")
        assert error.startswith("error: ")
        assert hint.startswith("hint: gradata")
        assert "--help" in hint


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal is POSIX")
def test_progress_and_colour_are_for_terminals_alone(cli: CommandLine) -> None:
    """On a terminal doctor has colours, unless NO_COLOR is set; in a pipe it never has."""
    import pty

    def on_a_terminal(**environ: str) -> bytes:
        leader, follower = pty.openpty()
        environment = {**cli.environ, "TERM": "xterm-256color", **environ}
        command = [sys.executable, "-m", "gradata", "doctor", "--no-cloud"]
        subprocess.run(command, env=environment, stdout=follower, stderr=follower, check=True)
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 65536):
                shown += piece
        except OSError:
            pass  # EIO: how Linux says that the other side is closed
        os.close(leader)
        return shown

    assert b"\x1b[" in on_a_terminal()
    assert b"\x1b[3" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in cli("doctor", "--no-cloud").out
