"""The auth log: one line an edge, for the owner's eyes, with no key in it, bounded."""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gradata.replicate.auth_log import BYTES_MAX, KEPT, AuthLog, append, auth_log_path, masked
from replicator.status import Notice

CANARY = "gk_live_0badc0de_CANARY-that-must-not-be-seen_0123456789"
DENIED = Notice(
    "denied", "replication paused: denied (401): unknown key; nothing is lost", "put a valid key", grave=True
)
RECOVERED = Notice("recovered", "replication goes on (it was: denied)")


def auth_log(tmp_path: Path, key: str | None = CANARY) -> AuthLog:
    """An auth log whose clock stands still."""
    return AuthLog(str(tmp_path), read_key=lambda: key, now=lambda: datetime(2026, 11, 23, 9, 14, 2, tzinfo=UTC))


def lines(tmp_path: Path) -> list[str]:
    """What is written in it."""
    return Path(auth_log_path(str(tmp_path))).read_text().splitlines()


def test_f33_a_refusal_and_its_end_are_one_line_each(tmp_path: Path) -> None:
    """The edge down and the edge up, each with its time and what to do."""
    log = auth_log(tmp_path)
    log(DENIED)
    log(RECOVERED)
    refused, recovered = lines(tmp_path)
    assert refused == (f"2026-11-23T09:14:02.000Z pid={os.getpid()} denied: {DENIED.text}; put a valid key")
    assert "recovered: replication goes on" in recovered


def test_only_what_concerns_the_key_is_written(tmp_path: Path) -> None:
    """A cloud that was away and came back is no matter of keys."""
    log = auth_log(tmp_path)
    for code in ("unavailable", "recovered", "dead_letter", "new_generation"):
        log(Notice(code, "x"))
    assert not os.path.exists(log.path)
    log(Notice("no_key", "replication paused: no_key"))
    log(RECOVERED)
    log(RECOVERED)
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize(
    "said",
    [
        f"no such key: {CANARY}",
        f"Authorization: Bearer {CANARY}",
        "you sent Bearer some-other-secret-token",
        "key gdk_live_abcdefgh_1234567890 is old",
        "AUTHORIZATION=secret-of-somebody",
    ],
)
def test_f55_no_key_reaches_the_auth_log(tmp_path: Path, said: str) -> None:
    """Whatever a server echoes: our key, anything of a key's form, and headers are masked."""
    auth_log(tmp_path)(Notice("denied", said, said))
    (line,) = lines(tmp_path)
    for secret in (CANARY, "CANARY", "some-other-secret", "1234567890", "secret-of-somebody"):
        assert secret not in line
    assert "[key]" in line


def test_f55_a_key_of_any_form_is_masked_by_name() -> None:
    """The present key is known, so it is masked even where it looks like a word."""
    assert masked("the key hunter2 is refused", "hunter2") == "the key [key] is refused"


def test_f59_control_characters_stay_out(tmp_path: Path) -> None:
    """A line is one line: no newline, escape or carriage return of a server forges another."""
    auth_log(tmp_path)(Notice("denied", "x\r\n2026-11-23 forged\x1b[2J"))
    (line,) = lines(tmp_path)
    assert "\x1b" not in line
    assert line.isprintable()


def test_f56_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Made 0600 in a directory 0700; a log that was readable to others is so no more."""
    log = auth_log(tmp_path)
    log(DENIED)
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(log.path)).st_mode) == 0o700
    os.chmod(log.path, 0o644)
    log(RECOVERED)
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600


@pytest.mark.parametrize("planted", ["file", "directory", "hardlink", "fifo"])
def test_f56_what_is_planted_is_not_written_to(tmp_path: Path, planted: str, caplog: pytest.LogCaptureFixture) -> None:
    """A symlink in place of the log or its directory, a second name of another file, a FIFO: none is followed,
    nothing hangs, replication goes on, and it is said once."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = auth_log(tmp_path)
    if planted == "directory":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "logs").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "logs").mkdir()
        if planted == "file":
            os.symlink(victim, log.path)
        elif planted == "hardlink":
            os.link(victim, log.path)
        else:
            os.mkfifo(log.path)
    with caplog.at_level(logging.WARNING, "gradata"):
        log(DENIED)
        log(RECOVERED)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "elsewhere" / "replication-auth.log").exists()
    assert len(caplog.records) == 1
    assert CANARY not in caplog.text


def test_a_missing_brain_directory_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A notice must never fail the replicator's thread."""
    with caplog.at_level(logging.WARNING, "gradata"):
        auth_log(tmp_path / "gone")(DENIED)
    assert "cannot be written" in caplog.text


def test_it_is_rotated_and_bounded(tmp_path: Path) -> None:
    """Beyond the bound the log becomes .1, .2, .3; the oldest goes; no line is torn."""
    path = auth_log_path(str(tmp_path))
    for number in range(60):
        append(path, f"{number:04}\n".encode(), bytes_max=50)
    found = sorted(os.listdir(os.path.dirname(path)))
    assert found == ["replication-auth.log", *(f"replication-auth.log.{n}" for n in range(1, KEPT + 1))]
    kept = "".join((tmp_path / "logs" / name).read_text() for name in [*reversed(found[1:]), found[0]])
    assert kept.splitlines() == [f"{number:04}" for number in range(20, 60)]


def test_the_bound_is_a_mebibyte(tmp_path: Path) -> None:
    """Just below it nothing is rotated; at it the next line begins a new log."""
    path = auth_log_path(str(tmp_path))
    append(path, b"x" * (BYTES_MAX - 1) + b"\n")
    append(path, b"next\n")
    assert Path(path).read_text() == "next\n"
    assert os.path.getsize(f"{path}.1") == BYTES_MAX
