"""Where settings come from, and what forbids replication."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradata.config.settings import (
    CLOUD_OFF,
    DEFAULT_ENDPOINT,
    NO_KEY,
    WRITE_THROUGH_OFF,
    Settings,
    consent,
    host_forbids_threads,
    why_local,
)

CANARY = "gk_live_canary0123456789"


def _write_key(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / ".gradata" / "key"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/someone/.gradata/brain"),
        ({"GRADATA_BRAIN": "/c"}, "/c"),
        ({"GRADATA_BRAIN": "/c", "GRADATA_BRAIN_DIR": "/b"}, "/b"),
        ({"GRADATA_BRAIN": "/c", "GRADATA_BRAIN_DIR": "/b", "BRAIN_DIR": "/a"}, "/a"),
        ({"BRAIN_DIR": "  ", "GRADATA_BRAIN": "/c"}, "/c"),
        ({"BRAIN_DIR": "~/work"}, "/home/someone/work"),
    ],
)
def test_the_brain_directory_is_found_in_the_documented_order(environ: dict[str, str], expected: str) -> None:
    """One resolver: BRAIN_DIR, GRADATA_BRAIN_DIR, GRADATA_BRAIN, then the home directory; blank counts as unset."""
    assert Settings.resolve(environ={"HOME": "/home/someone", **environ}).brain_dir == expected


def test_an_argument_beats_the_environment() -> None:
    """A brain directory and an endpoint passed in code win over every variable."""
    environ = {"BRAIN_DIR": "/a", "GRADATA_ENDPOINT": "https://b.example", "HOME": "/h"}
    settings = Settings.resolve("/x", "https://a.example", environ=environ)
    assert (settings.brain_dir, settings.endpoint) == ("/x", "https://a.example")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, DEFAULT_ENDPOINT),
        ({"GRADATA_CLOUD_API_BASE": "https://b.example"}, "https://b.example"),
        ({"GRADATA_CLOUD_API_BASE": "https://b.example", "GRADATA_ENDPOINT": "https://a.example"}, "https://a.example"),
    ],
)
def test_the_endpoint_is_found_in_the_documented_order(environ: dict[str, str], expected: str) -> None:
    """GRADATA_ENDPOINT, GRADATA_CLOUD_API_BASE, then the public cloud."""
    assert Settings.resolve("/x", environ=environ).endpoint == expected


def test_the_key_is_the_argument_then_the_file_then_the_environment(tmp_path: Path) -> None:
    """The documented order, each beaten by the one before; of the file only the first line."""
    environ = {"HOME": str(tmp_path)}
    assert Settings.resolve("/x", environ=environ).read_key() is None
    environ["GRADATA_API_KEY"] = " from-environment "
    assert Settings.resolve("/x", environ=environ).read_key() == "from-environment"
    _write_key(tmp_path, "\ufefffrom-file \r\nsecond line\n")
    assert Settings.resolve("/x", environ=environ).read_key() == "from-file"
    assert Settings.resolve("/x", key="from-argument", environ=environ).read_key() == "from-argument"


def test_f33_f51_the_key_is_read_afresh(tmp_path: Path) -> None:
    """A key that appears, changes or goes is seen by settings that were resolved before."""
    environ = {"HOME": str(tmp_path)}
    settings = Settings.resolve("/x", environ=environ)
    path = _write_key(tmp_path, "first\n")
    assert settings.read_key() == "first"
    path.write_text("second\n")
    assert settings.read_key() == "second"
    path.write_text("\n")
    environ["GRADATA_API_KEY"] = "third"
    assert settings.read_key() == "third"


def test_f55_no_representation_shows_the_key(tmp_path: Path) -> None:
    """Neither repr nor str of the settings holds a key from any of its three sources."""
    _write_key(tmp_path, CANARY)
    settings = Settings.resolve("/x", key=CANARY, environ={"HOME": str(tmp_path), "GRADATA_API_KEY": CANARY})
    assert settings.read_key() == CANARY
    assert CANARY not in f"{settings!r} {settings} {replace(settings, brain_dir='/y')!r}"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_f56_a_key_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    """A key file of mode 0644 still works, and the trouble names the command that mends it."""
    settings = Settings.resolve("/x", environ={"HOME": str(tmp_path)})
    assert settings.key_file_trouble() is None
    _write_key(tmp_path, CANARY, 0o644)
    assert f"chmod 600 {settings.key_file}" in (settings.key_file_trouble() or "")
    _write_key(tmp_path, CANARY)
    assert settings.key_file_trouble() is None


@pytest.mark.parametrize(
    ("environ", "allowed", "cloud_off"),
    [
        ({}, True, False),
        ({WRITE_THROUGH_OFF: "1"}, False, False),
        ({WRITE_THROUGH_OFF: "0"}, True, False),
        ({WRITE_THROUGH_OFF: ""}, True, False),
        ({CLOUD_OFF: "1"}, False, True),
        ({CLOUD_OFF: "true", WRITE_THROUGH_OFF: "1"}, False, True),
    ],
)
def test_f50_the_switches_forbid_the_thread(environ: dict[str, str], allowed: bool, cloud_off: bool) -> None:
    """Each switch turns write-through off and is named as the reason; only one forbids every path to the cloud."""
    settings = Settings.resolve("/nowhere", key="k", environ=environ)
    assert (settings.write_through, settings.cloud_off) == (allowed, cloud_off)
    forbidden = why_local(settings)
    assert (forbidden is None) == allowed
    assert allowed or any(name in (settings.why_not or "") for name in environ)


@pytest.mark.parametrize(
    ("text", "allowed", "by_choice"),
    [
        (None, True, True),
        ("{}", True, True),
        (json.dumps({"sync_enabled": True, "sync_mode": "full", "token": "t"}), True, True),
        (json.dumps({"sync_enabled": True, "sync_mode": None}), True, True),
        (json.dumps({"sync_enabled": False}), False, True),
        (json.dumps({"sync_enabled": None}), False, True),
        (json.dumps({"sync_enabled": "false"}), False, True),
        (json.dumps({"sync_enabled": True, "sync_mode": "metrics_only"}), False, True),
        (json.dumps({"sync_mode": "something new"}), False, True),
        ("{not json", False, False),
        ("", False, False),
        ("[]", False, False),
        ("[" * 100_000, False, False),
        (" " * 1_100_000 + "{}", False, False),
    ],
)
def test_f52_consent_is_only_ever_a_plain_yes(tmp_path: Path, text: str | None, allowed: bool, by_choice: bool) -> None:
    """No file means no objection; anything in it but a plain yes forbids, and what cannot be read is told as such."""
    path = tmp_path / "cloud-config.json"
    if text is not None:
        path.write_text(text)
    refused = consent(str(tmp_path))
    assert (refused is None) == allowed
    assert refused is None or (refused.by_choice == by_choice and str(path) in refused.why)
    assert text is None or path.read_text() == text, "consent is never changed"


def test_f52_a_config_that_cannot_be_read_is_no_consent(tmp_path: Path) -> None:
    """A directory in place of the config forbids, and is told as trouble."""
    (tmp_path / "cloud-config.json").mkdir()
    refused = consent(str(tmp_path))
    assert refused is not None
    assert not refused.by_choice


def test_f54_a_host_that_forbids_threads_is_a_reason_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a patched host nothing is started, and the hint is the command to run beside it."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", _answering("is_module_patched", "threading"))
    forbidden = why_local(Settings.resolve(tmp_path, key="k", environ={}))
    assert forbidden is not None
    assert f"gradata replicate --follow --brain {tmp_path}" in forbidden.hint


def test_f51_a_missing_key_is_the_last_reason_and_names_the_remedy(tmp_path: Path) -> None:
    """Without a key, and nothing else in the way, the reason is the key and the hint is a command."""
    environ = {"HOME": str(tmp_path)}
    forbidden = why_local(Settings.resolve(tmp_path, environ=environ))
    assert forbidden is not None
    assert (forbidden.why, forbidden.by_choice) == (NO_KEY, False)
    assert "~/.gradata/key" in forbidden.hint
    environ["GRADATA_API_KEY"] = "k"
    assert why_local(Settings.resolve(tmp_path, environ=environ)) is None


def _answering(question: str, name: str) -> Any:
    return SimpleNamespace(**{question: lambda asked: asked == name})


@pytest.mark.parametrize(
    ("modules", "word"),
    [
        ({}, None),
        ({"gevent.monkey": _answering("is_module_patched", "threading")}, "gevent"),
        ({"gevent.monkey": _answering("is_module_patched", "socket")}, None),
        ({"eventlet.patcher": _answering("is_monkey_patched", "thread")}, "eventlet"),
        ({"eventlet.patcher": _answering("is_monkey_patched", "os")}, None),
        ({"uwsgi": SimpleNamespace(opt={})}, "uWSGI"),
        ({"uwsgi": SimpleNamespace(opt={"enable-threads": b"false"})}, "uWSGI"),
        ({"uwsgi": SimpleNamespace(opt={b"enable-threads": b"true"})}, None),
        ({"uwsgi": SimpleNamespace(opt={"enable-threads": True})}, None),
        ({"uwsgi": SimpleNamespace(opt={"threads": b"4"})}, None),
        ({"uwsgi": SimpleNamespace()}, None),
    ],
)
def test_f54_hosts_that_freeze_threads_are_known(modules: dict[str, object], word: str | None) -> None:
    """gevent, eventlet and uWSGI without threads forbid an embedded thread, in words; others do not."""
    why = host_forbids_threads(modules)
    assert why is None if word is None else word in (why or "")
