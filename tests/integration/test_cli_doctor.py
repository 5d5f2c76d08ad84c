"""`gradata doctor` on real files: what it finds by itself, several brains, watching, and as a watchdog."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from gradata import Brain, doctor
from gradata.config.brain_dir import create
from gradata.doctor import collect
from tests.support.cli_runner import CommandLine, last_lines
from tests.support.cloud_fixture import LiveCloud

CANARY = "gk_live_canary0123456789"


def checks(cli: CommandLine, *arguments: str, **environ: str) -> dict[str, tuple[str, str]]:
    """Status and detail by name, collected in this process."""
    facts = collect.collect(str(cli.brain), None, ask_cloud=False, environ={**cli.environ, **environ})
    return {finding.name: (finding.status, finding.detail) for finding in doctor.examine(facts)}


def test_f14_damaged_records_are_counted_and_fresh_ones_are_a_warning(cli: CommandLine) -> None:
    """Old damage is told; damage among the last hundred records asks who writes it."""
    cli.append(3)
    assert checks(cli)["records"] == ("ok", "all 3 can be interpreted")
    with cli.log.open("ab") as log:
        log.write(b"\0\0\0\n[1]\n{torn")
    found = checks(cli)["records"]
    assert (found[0], found[1].startswith("2 of all 5 are no events, the last of them at offset ")) == ("warn", True)
    with cli.log.open("ab") as log:
        log.write(b"\n")
    cli.append(100)
    status, detail = checks(cli)["records"]
    assert (status, detail.startswith("3 of all 106 are no events")) == ("ok", True)


def test_records_of_a_large_log_are_looked_at_from_its_end(cli: CommandLine) -> None:
    """Bounded: the last megabytes, beginning with a whole record."""
    record = b'{"type": "NOTE", "event_id": "x", "data": "%s"}\n' % (b"y" * 1_000)
    cli.log.write_bytes(b"damaged\n" + record * 5_000)
    status, detail = checks(cli)["records"]
    assert (status, detail.startswith(("the last 3,9", "the last 4,"))) == ("ok", True)
    assert detail.endswith("can be interpreted")


def test_the_machine_is_looked_at(cli: CommandLine) -> None:
    """Disk, file events, config files and the settings' thresholds are real."""
    (cli.brain / "config.toml").write_text("backlog_records_max = 2\n")
    cli.append(3)
    found = checks(cli, GRADATA_API_KEY=CANARY)
    assert found["disk"][1].count("free of") == 1
    assert found["file_events"][0] in ("ok", "warn", "skip")
    assert found["config"] == ("ok", str(cli.brain / "config.toml"))
    assert found["backlog"][0] == "fail"
    (cli.brain / "config.toml").write_text("backlog_records = 2\n")
    assert "did you mean `backlog_records_max`?" in checks(cli)["config"][1]
    assert cli("doctor", "--no-cloud").code == 1


def test_a_stale_token_is_told_and_never_shown(cli: CommandLine) -> None:
    """What an older version left in the brain's directory is not used, and should not lie there."""
    (cli.brain / "cloud-config.json").write_text(json.dumps({"sync_enabled": True, "token": CANARY}))
    status, detail = checks(cli, GRADATA_API_KEY="gk_live_another")["key"]
    assert (status, "cloud-config.json holds a token, which is not used" in detail) == ("warn", True)
    assert CANARY not in detail
    assert checks(cli, GRADATA_API_KEY=CANARY)["key"][0] == "ok"


@pytest.mark.parametrize("spoil", [b"", b"garbage" * 1_000], ids=["zeroed", "garbage"])
def test_f25_true_with_a_spoilt_sidecar(cli: CommandLine, spoil: bytes) -> None:
    """No traceback, every check answers, and the sidecar's own says what is wrong or that it is rebuilt."""
    cli.append(2)
    (cli.brain / ".replicator.db").write_bytes(spoil)
    found = checks(cli, GRADATA_API_KEY=CANARY)
    assert found["sidecar"][0] in ("error", "skip", "missing")
    assert found["backlog"][1].startswith("2 pending")


def test_old_hooks_of_the_home_are_found(cli: CommandLine) -> None:
    """The entry that once went silent is named with the command that replaces it."""
    settings = cli.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    hook = {"type": "command", "command": f"{CANARY[:0]}python3 -m gradata.hooks.session_close"}
    settings.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [hook]}]}}))
    status, detail = checks(cli)["old_hooks"]
    assert (status, "gradata install --agent claude-code" in detail) == ("warn", True)


def test_all_brains_below_a_directory(cli: CommandLine, tmp_path: Path) -> None:
    """Each is found at its depth, judged by itself; the worst decides; what is fine takes one line."""
    fleet = tmp_path / "fleet"
    for name in ("a/.gradata/brain", "b/brain", "c"):
        create(str(fleet / name))
    (fleet / "node_modules" / "x").mkdir(parents=True)
    (fleet / "node_modules" / "x" / "events.jsonl").touch()
    (fleet / "c" / "events.jsonl").write_bytes(b'{"type": "NOTE"}\n' * 3)
    answer = cli("doctor", "--all-brains", str(fleet), "--json", "--no-cloud", GRADATA_API_KEY=CANARY)
    assert [Path(each["brain"]).relative_to(fleet).as_posix() for each in answer.json["brains"]] == [
        "a/.gradata/brain", "b/brain", "c",
    ]  # fmt: skip
    assert set(answer.json["brains"][0]) == {"brain", "status", "checks"}
    words = cli(
        "doctor", "--all-brains", str(fleet), "--no-cloud", "--backlog-max", "2", GRADATA_API_KEY=CANARY
    )  # fmt: skip
    assert words.code == 1
    assert "3 brains: 1 broken, 2 healthy" in words.out
    assert "[+]" not in words.out
    nothing = cli("doctor", "--all-brains", str(cli.home), "--no-cloud")
    assert (nothing.code, "no brain at or below" in nothing.out) == (1, True)
    assert cli("doctor", "--all-brains", str(cli.home / "nowhere")).code == 2
    assert last_lines(cli("doctor", "--all-brains", str(fleet), "--brain", "x"))[0].startswith("error: --brain and")


def test_as_a_watchdog_it_says_nothing_while_all_is_well(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Quiet prints only what decides the exit code; strict counts a warning, for silence is one."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(1)
    assert cli("replicate", "--once", "--quiet").code == 0
    fine = cli("doctor", "--quiet", "--strict")
    assert (fine.code, fine.out, fine.err) == (0, "", "")
    os.utime(cli.log, (1.0, 1.0))
    assert cli("doctor", "--quiet").out == ""
    silent = cli("doctor", "--quiet", "--strict")
    assert (silent.code, "silent: nothing new was captured" in silent.out, "[+]" in silent.out) == (1, True, False)


def test_watching_a_pipe_tells_each_change(cli: CommandLine) -> None:
    """One report at the start, another when something changes, and the last verdict as exit code on Ctrl-C."""
    watching = cli.start("doctor", "--watch", "--json", "--no-cloud", GRADATA_API_KEY=CANARY)
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["status"] == "healthy"
    with cli.log.open("ab") as log:
        log.write(b'{"type": "NOTE"}\n' * 1_001)
    assert json.loads(watching.stdout.readline())["status"] == "broken"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 1


def test_the_clock_is_compared_with_the_cloud_s(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """A real answer carries a date."""
    cli.use(shared_cloud.url, shared_cloud.key)
    with Brain(cli.brain, environ=cli.environ):
        facts = collect.collect(str(cli.brain), None, ask_cloud=True, environ=cli.environ)
    assert facts.cloud is not None
    assert facts.cloud.clock_off_s is not None
    assert abs(facts.cloud.clock_off_s) < 60


def test_a_cloud_that_does_not_answer_is_asked_once_for_all_brains(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty brains behind one dead cloud cost one time-out, and each says why."""
    places = [create(str(tmp_path / f"b{number}")).path for number in range(3)]
    environ = {**cli.environ, "GRADATA_ENDPOINT": "http://127.0.0.1:9", "GRADATA_API_KEY": CANARY}
    asked = []
    real = collect.state.cloud_side

    def counted(*arguments: object, **options: object) -> object:
        asked.append(arguments)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(collect.state, "cloud_side", counted)
    found = collect.collect_many(places, None, ask_cloud=True, environ=environ)
    assert len(asked) == 1
    assert [facts.cloud and facts.cloud.code for facts in found] == ["unavailable"] * 3


def shown_on_a_terminal(
    cli: CommandLine, columns: int, *arguments: str, until: bytes | None = None, **environ: str
) -> tuple[int, str]:
    """Exit code and everything that a command prints on a terminal; Ctrl-C once `until` was seen."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environ = {**cli.environ, "TERM": "xterm", "COLUMNS": str(columns), **environ}
    process = subprocess.Popen(cli._command(arguments), env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
            if until is not None and until in shown:
                process.send_signal(signal.SIGINT)
                until = None
    except OSError:
        pass  # EIO: the other end is closed
    os.close(ours)
    return process.wait(60), shown.decode()


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
@pytest.mark.parametrize(("columns", "no_color"), [(40, ""), (200, "1")])
def test_on_a_terminal_lines_fit_and_colours_can_be_refused(cli: CommandLine, columns: int, no_color: str) -> None:
    """Narrow terminals get texts that go on below themselves; NO_COLOR gets no escape at all."""
    wanted = {"NO_COLOR": no_color} if no_color else {}
    code, shown = shown_on_a_terminal(cli, columns, "doctor", "--no-cloud", **wanted)
    assert code == 0
    assert ("\x1b[" in shown) == (not no_color)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r\n", "\n").split("\n")
    assert any(line.startswith("  [!] key") for line in lines)
    assert any(line.startswith(" " * 20) for line in lines) == (columns < 100)


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_watching_on_a_terminal_is_one_page(cli: CommandLine) -> None:
    """The page begins anew instead of scrolling away; Ctrl-C ends it without an error."""
    code, shown = shown_on_a_terminal(cli, 100, "doctor", "--no-cloud", "--watch", until=b"degraded")
    assert code == 0
    assert shown.startswith(("\x1b[2J", "\x1b[H"))
    assert "error" not in shown
