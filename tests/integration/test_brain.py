"""Brain on real files: what is recorded, what is refused, and what may fail around it without harm."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradata import Brain, BrainNotFoundError
from gradata.brain.brain import Ports
from gradata.brain.events import EVENT_KEYS
from gradata.config.brain_dir import Directory, identify
from gradata.config.settings import Settings
from gradata.errors import BrainDirectoryError, EventError, ProjectionError
from gradata.replicate.wiring import ConsentingSink, open_replicator
from replicator.actions import Denied, Unavailable
from replicator.errors import AppendError, ConfigurationError, LogError
from replicator.log import PosixDisk
from replicator.loop import Drained
from replicator.model import Identity

FIELDS = (
    "draft_text final_text edit_distance severity outcome major_edit category summary classifications lines_added"
    " lines_removed correction_scope applies_to platform_source"
)


class FakeReplication:
    """Notes what it was asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.started = threading.Event()

    def start(self) -> None:
        self.calls.append("start")
        self.started.set()

    def wake(self) -> None:
        self.calls.append("wake")

    def drain(self, timeout_s: float) -> Drained:
        self.calls.append(f"drain {timeout_s}")
        return Drained(3, 7, "deadline")

    def close(self, timeout_s: float = 5.0) -> Drained:
        self.calls.append(f"close {timeout_s}")
        return Drained(0, 0, "caught_up")


class FailingDisk(PosixDisk):
    """A real disk that fails with an errno, in the calls that are named."""

    def __init__(self, **failing: int) -> None:
        self.failing = failing

    def write(self, fd: int, piece: bytes) -> int:
        if "write" in self.failing and len(piece) < 100:
            raise OSError(self.failing["write"], os.strerror(self.failing["write"]))
        if "write" in self.failing:
            return super().write(fd, piece[:-50])  # a full disk writes short first, without an error
        return super().write(fd, piece)

    def fdatasync(self, fd: int) -> None:
        if "fdatasync" in self.failing:
            raise OSError(self.failing["fdatasync"], os.strerror(self.failing["fdatasync"]))
        super().fdatasync(fd)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a key; the brain is made at `b` in it."""
    return tmp_path


@pytest.fixture
def brain(home: Path) -> Iterator[Brain]:
    """A new brain without a key."""
    with _init(home) as made:
        yield made


def _init(home: Path, *, name: str = "b", **options: Any) -> Brain:
    return Brain.init(home / name, environ={"HOME": str(home)}, **options)


def _lines(brain: Brain) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(brain.log_path).read_bytes().split(b"\n")[:-1]]


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# ---------------------------------------------------------------- what is recorded


def test_a_correction_is_one_line_with_the_documented_fields(brain: Brain) -> None:
    """The returned event is the line in the log, key for key, and the row in the projection."""
    event = brain.correct(
        "Dear Sir, the report is late", "Hey, the invoice is late", category="tone", applies_to="client:a"
    )
    assert event.pop("durable") is True
    assert (event.pop("duplicate"), event.pop("id")) == (False, 1)
    assert event.pop("_persisted") == {"jsonl": True, "sqlite": True}
    assert _lines(brain) == [event]
    assert tuple(event) == EVENT_KEYS
    assert " ".join(event["data"]) == FIELDS
    assert (event["type"], event["source"], event["tags"], event["session"]) == (
        "CORRECTION", "brain.correct", ["category:TONE"], 1,
    )  # fmt: skip
    row = brain.query_events("CORRECTION")[0]
    assert {name: row[name] for name in EVENT_KEYS} == event


def test_severity_outcome_and_major_edit_agree_with_the_distance(brain: Brain) -> None:
    """A small edit is minor and no major edit; another text is discarded and one."""
    small = brain.correct("a" * 50 + "b", "a" * 50 + "c")["data"]
    other = brain.correct("abc", "xyz")["data"]
    assert (small["severity"], small["outcome"], small["major_edit"]) == ("as-is", "as-is", False)
    assert (other["severity"], other["outcome"], other["major_edit"]) == ("discarded", "discarded", True)


def test_nothing_unredacted_is_stored_anywhere(brain: Brain) -> None:
    """An address in texts, context, category or applies_to reaches no file of the brain, not even cut in half."""
    address = "bob.secret@example.com"
    brain.correct("x" * 1_990 + " " + address, f"mail {address} now", address, {address: [address]}, applies_to=address)
    brain.emit("T", "s", {"x": {address}}, tags=[address])
    stored = b"".join(path.read_bytes() for path in brain.dir.iterdir() if path.is_file())
    assert b"[REDACTED_EMAIL]" in stored
    assert b"bob" not in stored.lower()


def test_texts_are_kept_up_to_2000_characters_each(brain: Brain) -> None:
    """The previews are cut; the distance is of the whole texts, and an estimate says that it is one."""
    event = brain.correct("a b " * 12_000, "c d " * 12_000)
    assert len(event["data"]["draft_text"]) == len(event["data"]["final_text"]) == 2_000
    assert event["data"]["edit_distance_estimated"] is True
    assert "edit_distance_estimated" not in brain.correct("a b", "a c")["data"]


def test_options_are_recorded_with_the_correction(brain: Brain) -> None:
    """Context, agent type, approval and scope stand in data; an explicit session is kept."""
    said = brain.correct(
        "a b", "a c", context={"task": 1}, session=7, agent_type="sdr", approval_required=True, scope=" Project "
    )
    assert said["session"] == 7
    assert said["data"]["context"] == {"task": 1}
    assert (said["data"]["agent_type"], said["data"]["approval_required"]) == ("sdr", True)
    assert said["data"]["correction_scope"] == "project"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draft": "", "final": ""}, "empty"),
        ({"draft": None, "final": None}, "empty"),
        ({"draft": "x", "final": "x"}, "identical"),
        ({"draft": "x" * 50_001, "final": "y" * 50_000}, "exceeds limit"),
        ({"draft": b"x", "final": "y"}, "text"),
        ({"session": 0}, "positive integer"),
        ({"session": -1}, "positive integer"),
        ({"session": True}, "positive integer"),
        ({"session": 1.0}, "positive integer"),
        ({"session": "1"}, "positive integer"),
        ({"scope": "galaxy"}, "scope"),
        ({"min_severity": "huge"}, "min_severity"),
        ({"category": 3}, "category"),
    ],
)
def test_wrong_arguments_are_a_value_error_and_write_nothing(
    brain: Brain, arguments: dict[str, Any], message: str
) -> None:
    """Each rule of validation holds before anything is written."""
    with pytest.raises(ValueError, match=message):
        brain.correct(**({"draft": "a b", "final": "a c"} | arguments))
    assert _lines(brain) == []


def test_100000_characters_are_still_taken(brain: Brain) -> None:
    """The limit belongs to what is allowed."""
    assert brain.correct("x" * 50_000, "y" * 50_000)["durable"]


def test_a_dry_run_writes_nothing(brain: Brain) -> None:
    """The event is returned as it would be, and neither store has it."""
    assert brain.correct("a b", "a c", dry_run=True)["dry_run"] is True
    assert _lines(brain) == []
    assert brain.query_events() == []


def test_emit_records_readable_data(brain: Brain) -> None:
    """What JSON lacks is readable, and the same, in both stores."""
    event = brain.emit("NOTE", "test", {"when": {2, 1}, 3: "\ud800", "nan": float("nan")}, ["t"])
    assert event["data"] == {"when": [1, 2], "3": "\\ud800", "nan": "NaN"}
    assert _lines(brain)[0]["data"] == event["data"] == brain.query_events("NOTE")[0]["data"]


@pytest.mark.parametrize(
    "said", [{"x": object()}, {1: 1, "1": 2}, [1], "text"], ids=["object", "same-name", "list", "text"]
)
def test_what_cannot_be_written_is_refused_in_both_stores(brain: Brain, said: Any) -> None:
    """A clear error before anything is written: no line, no row."""
    with pytest.raises(EventError) as raised:
        brain.emit("NOTE", "test", said)
    assert raised.value.hint
    assert _lines(brain) == []
    assert brain.query_events() == []


def test_sessions_follow_each_other(brain: Brain) -> None:
    """Ending a session counts its corrections and begins the next; another Brain of the directory continues there."""
    brain.correct("a b", "a c")
    ended = brain.end_session()
    assert (ended["session"], ended["corrections"], ended["durable"], ended["replication"]) == (1, 1, True, None)
    assert brain.session == 2
    assert brain.end_session(9)["session"] == 9
    with Brain(brain.dir, environ=brain_environ(brain)) as other:
        assert (other.session, other.correct("a b", "a d")["session"]) == (10, 10)


def brain_environ(brain: Brain) -> dict[str, str]:
    """The environment that the brain was opened with: a home without a key."""
    return {"HOME": str(brain.dir.parent)}


def test_queries_check_their_limits(brain: Brain) -> None:
    """Zero and negative limits are wrong usage."""
    for wrong in ({"limit": 0}, {"last_n_sessions": 0}):
        with pytest.raises(ValueError, match="positive"):
            brain.query_events(**wrong)


# ---------------------------------------------------------------- the directory


def test_init_makes_a_private_brain_and_keeps_one_that_is_there(home: Path) -> None:
    """Directory 0700, files 0600, ids in their form; a second init changes nothing."""
    with _init(home) as brain:
        brain.correct("a b", "a c")
        before = brain.identity, Path(brain.log_path).read_bytes()
        assert stat.S_IMODE(brain.dir.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in brain.dir.iterdir()} == {0o600}
        assert (brain.db_path, brain.dir) == (home / "b" / "system.db", home / "b")
    with _init(home) as again:
        assert (again.identity, Path(again.log_path).read_bytes()) == before


def test_a_brain_that_does_not_exist_is_a_clear_error(home: Path) -> None:
    """A missing directory, and a file in its place, raise with the command that makes one; nothing is created."""
    (home / "file").write_text("")
    for name in ("nothing", "file"):
        with pytest.raises(BrainNotFoundError) as raised:
            Brain(home / name, environ={"HOME": str(home)})
        assert "gradata init" in raised.value.hint
    assert not (home / "nothing").exists()


def test_a_log_path_that_is_a_directory_is_a_clear_error(home: Path) -> None:
    """The append says so, with a hint, and writes nothing."""
    (home / "b" / "events.jsonl").mkdir(parents=True)
    with Brain(home / "b", environ={"HOME": str(home)}) as brain:
        with pytest.raises(LogError) as raised:
            brain.correct("a b", "a c")
        assert raised.value.hint


def test_processes_that_come_together_get_the_same_ids(home: Path) -> None:
    """Eight threads identify one fresh directory at once: one brain_id, one device_id, no draft left behind."""
    found: list[Identity] = []
    barrier = threading.Barrier(8)

    def come() -> None:
        barrier.wait()
        found.append(identify(Directory(str(home))))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert sorted(path.name for path in home.iterdir()) == [".device_id", ".tenant_id"]


def test_an_empty_id_file_is_filled_and_a_broken_one_is_told(home: Path) -> None:
    """An id file left empty by a crash gets an id; one that holds no id is named, and kept."""
    (home / ".tenant_id").write_text("")
    assert len(identify(Directory(str(home))).brain_id) == 36
    (home / ".device_id").write_text("a\x00b")
    with pytest.raises(BrainDirectoryError, match="device_id"):
        identify(Directory(str(home)))
    assert (home / ".device_id").read_text() == "a\x00b"


def test_places_where_no_brain_can_be_are_told(home: Path) -> None:
    """A file in the way of the directory, and a directory in the way of an id, are errors with hints."""
    (home / "file").write_text("")
    (home / "c" / ".tenant_id").mkdir(parents=True)
    for path in (home / "file" / "b", home / "c"):
        with pytest.raises(BrainDirectoryError) as raised:
            Brain.init(path, environ={"HOME": str(home)})
        assert raised.value.hint


# ---------------------------------------------------------------- what may fail around it


def test_f19_a_full_disk_is_a_clear_error_and_leaves_nothing(home: Path) -> None:
    """The error names the log and the remedy; no torn record, no row; when there is space again, it works."""
    disk = FailingDisk()
    with _init(home, ports=Ports(disk=disk)) as brain:
        brain.correct("a b", "a c")
        before = Path(brain.log_path).read_bytes()
        disk.failing = {"write": errno.ENOSPC}
        with pytest.raises(AppendError) as raised:
            brain.correct("a b", "a d")
        assert str(brain.dir) in str(raised.value)
        assert raised.value.hint
        assert Path(brain.log_path).read_bytes() == before
        disk.failing = {}
        brain.correct("a b", "a e")
        assert len(brain.query_events()) == len(_lines(brain)) == 2


def test_a_sync_that_failed_is_said_and_the_event_stands(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`durable` is False, an ERROR names the event, and the event is in log and projection once."""
    with _init(home, ports=Ports(disk=FailingDisk(fdatasync=errno.EIO))) as brain:
        event = brain.correct("a b", "a c")
        assert event["durable"] is False
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert [event["event_id"] in message for message in errors] == [True]
        assert len(brain.query_events()) == len(_lines(brain)) == 1


def test_f26_a_locked_projection_stops_no_correction(brain: Brain, caplog: pytest.LogCaptureFixture) -> None:
    """While system.db is locked corrections are appended and it is told once; afterwards none is missing."""
    holder = sqlite3.connect(brain.db_path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for number in range(3):
        assert brain.correct("a b", f"a {number}")["durable"]
    holder.close()
    warned = [record for record in caplog.records if "the projection is behind" in record.getMessage()]
    assert len(warned) == 1
    assert len(brain.query_events()) == 3


def test_f25_a_broken_system_db_stops_no_correction(home: Path) -> None:
    """Garbage in system.db: corrections and the end of a session are recorded; only queries raise."""
    _init(home).close()
    (home / "b" / "system.db").write_bytes(b"garbage " * 1_000)
    with Brain(home / "b", environ={"HOME": str(home)}) as brain:
        assert brain.correct("a b", "a c")["durable"]
        assert brain.end_session()["corrections"] is None
        assert [event["type"] for event in _lines(brain)] == ["CORRECTION", "SESSION_END"]
        with pytest.raises(ProjectionError):
            brain.query_events()


def test_after_close_a_correction_still_appends(brain: Brain) -> None:
    """Closed twice, it still records; the event is projected by whoever opens next."""
    brain.close()
    brain.close()
    assert brain.correct("a b", "a c")["durable"]
    assert len(brain.query_events()) == len(_lines(brain)) == 1


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_f49_brains_leave_nothing_behind(home: Path) -> None:
    """1,000 brains opened, used in part, and closed: no descriptor and no thread more than before."""
    _init(home).close()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(1_000):
        with Brain(home / "b", environ={"HOME": str(home)}) as brain:
            if number % 100 == 0:
                brain.correct("a b", f"a {number}")
        if number % 100 == 0:
            brain.correct("a b", f"b {number}")
            brain.query_events()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


FORKING = """
import os, sys
from gradata import Brain
home = sys.argv[1]
brain = Brain(home + "/b", environ={"HOME": home})
brain.correct("a b", "parent before")
brain.query_events()
child = os.fork()
brain.correct("a b", f"after {child == 0}")
seen = len(brain.query_events())
if child == 0:
    os._exit(0 if seen >= 2 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
events = brain.query_events()
brain.close()
print(code, len(events), len({event["event_id"] for event in events}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_f43_a_forked_child_uses_the_brain(home: Path) -> None:
    """Parent and child correct and query through the same object: three events, three ids, nobody hangs."""
    _init(home).close()
    ran = _run(FORKING, str(home))
    assert (ran.stdout.split(), ran.returncode) == (["0", "3", "3"], 0), ran.stderr


WRITING = """
import sys
from gradata import Brain
home, name = sys.argv[1:]
with Brain(home + "/b", environ={"HOME": home}) as brain:
    for number in range(50):
        brain.correct("draft", f"final {name} {number}")
"""


def test_f17_processes_of_one_brain_record_and_project_each_event_once(brain: Brain) -> None:
    """Four processes with 50 corrections each: 200 whole lines, 200 rows, 200 ids."""
    command = [sys.executable, "-c", WRITING, str(brain.dir.parent)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    found = brain.query_events(limit=1_000)
    assert len(_lines(brain)) == len(found) == len({event["event_id"] for event in found}) == 200


# ---------------------------------------------------------------- the import, and the word without a key


IMPORTING = """
import sys
import gradata
heavy = {"httpx", "watchfiles", "rapidfuzz", "orjson", "sqlite3", "json", "logging", "asyncio"}
print(sorted(heavy & set(sys.modules)))
from gradata import Brain
print(sorted({"httpx", "watchfiles"} & set(sys.modules)))
"""


def test_importing_loads_nothing_heavy() -> None:
    """`import gradata` loads no dependency and not even SQLite; with Brain, still none of the network's."""
    assert _run(IMPORTING).stdout.splitlines() == ["[]", "[]"]


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    """The lazy names do not swallow mistakes."""
    import gradata

    with pytest.raises(AttributeError, match="Brian"):
        gradata.Brian  # noqa: B018 -- the access is the test


WITHOUT_KEY = """
import sys
from gradata import Brain
for name in "abc":
    with Brain.init(f"{sys.argv[1]}/{name}", environ={"HOME": sys.argv[1]}) as brain:
        brain.correct("a b", "a c")
"""


def test_f51_without_a_key_it_is_said_once_per_process(home: Path) -> None:
    """Three brains without a key: one line on stderr, with the remedy; everything is recorded."""
    ran = _run(WITHOUT_KEY, str(home))
    assert ran.returncode == 0
    assert ran.stderr == "" or ran.stderr.count("no API key") == 1
    script = "import logging; logging.basicConfig(level=logging.INFO)\n" + WITHOUT_KEY.replace("abc", "def")
    said = _run(script, str(home)).stderr
    assert said.count("\n") == 1
    assert said.startswith("WARNING:gradata:corrections stay on this machine: no API key; ")
    assert "~/.gradata/key" in said


# ---------------------------------------------------------------- the way to the cloud


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_replicator_is_started_woken_drained_and_closed(home: Path) -> None:
    """It starts with the brain, is woken by each append, drains at end_session and closes with the brain."""
    fake, clock = FakeReplication(), Clock()
    ports = Ports(open_replicator=lambda *_: fake, monotonic_s=clock)
    with _init(home, key="k", ports=ports) as brain:
        brain.correct("a b", "a c")
        ended = brain.end_session(timeout_s=2.0)
    assert ended["replication"] == {"acked": 3, "remaining_bytes": 7, "reason": "deadline"}
    assert fake.calls == ["start", "wake", "wake", "drain 2.0", "close 5.0"]
    clock.now_s += 60.0
    brain.correct("a b", "a d")
    assert brain.replicator is None
    assert fake.calls[-1] == "close 5.0"


def test_f50_a_switch_of_the_environment_that_is_taken_back_is_seen_at_an_append(home: Path) -> None:
    """Looked for at an append, at most once a second: not at once, then found."""
    fake, clock = FakeReplication(), Clock()
    environ = {"HOME": str(home), "GRADATA_API_KEY": "k", "GRADATA_DISABLE_WRITE_THROUGH": "1"}
    ports = Ports(open_replicator=lambda *_: fake, monotonic_s=clock)
    with Brain.init(home / "b", environ=environ, ports=ports) as brain:
        del environ["GRADATA_DISABLE_WRITE_THROUGH"]
        clock.now_s += 0.9
        brain.correct("a b", "a c")
        assert brain.replicator is None
        clock.now_s += 0.2
        brain.correct("a b", "a d")
        assert brain.replicator is fake
    assert fake.calls[0] == "start"


def test_f51_a_key_that_appears_is_found_without_an_append(home: Path) -> None:
    """By one thread for all brains that wait."""
    fakes = [FakeReplication(), FakeReplication()]
    ports = [Ports(open_replicator=lambda *_, fake=fake: fake) for fake in fakes]  # type: ignore[misc]
    with _init(home, ports=ports[0]) as brain, _init(home, name="c", ports=ports[1]) as other:
        (home / ".gradata").mkdir()
        (home / ".gradata" / "key").write_text("k\n")
        assert all(fake.started.wait(20.0) for fake in fakes)
        assert (brain.dir.name, other.dir.name) == ("b", "c")
    assert [fake.calls[-1] for fake in fakes] == ["close 5.0", "close 5.0"]


def test_f52_consent_that_is_given_is_found_without_an_append(home: Path) -> None:
    """As a key is: the user's file is asked again."""
    fake = FakeReplication()
    (home / "b").mkdir()
    config = home / "b" / "cloud-config.json"
    config.write_text('{"sync_enabled": false}')
    with _init(home, key="k", ports=Ports(open_replicator=lambda *_: fake)) as brain:
        config.write_text('{"sync_enabled": true}')
        assert fake.started.wait(20.0)
        assert brain.correct("a b", "a c")["durable"]


LOOKOUTS = """
import gc, sys, threading
from gradata import Brain

def lookouts():
    return [thread for thread in threading.enumerate() if thread.name == "gradata-lookout"]

def none_is_left():
    for thread in lookouts():
        thread.join(20)
    return not lookouts()

brain_dir, environ = sys.argv[1], {"HOME": sys.argv[2]}
with Brain.init(brain_dir, environ={**environ, "GRADATA_DISABLE_WRITE_THROUGH": "1"}):
    assert not lookouts(), "the environment switches replication off"
with Brain(brain_dir, environ=environ), Brain(brain_dir, environ=environ):
    assert len(lookouts()) == 1, lookouts()
assert none_is_left(), "the brains are closed"
brains = [Brain(brain_dir, environ=environ)]
assert len(lookouts()) == 1, lookouts()
brains.clear()
gc.collect()
assert none_is_left(), "nobody has the brain any more"
print("fine")
"""


def test_f49_nobody_looks_out_for_what_no_file_can_change_or_for_a_brain_that_is_gone(home: Path) -> None:
    """No thread where the environment switches replication off; none stays behind a closed or forgotten brain."""
    ended = _run(LOOKOUTS, str(home / "b"), str(home))
    assert ended.stdout == "fine\n", ended.stderr


@pytest.mark.parametrize(
    "forbidding",
    [{"GRADATA_DISABLE_WRITE_THROUGH": "1"}, {"GRADATA_CLOUD_SYNC_DISABLE": "1"}, {"sync_enabled": False}],
    ids=["write-through", "cloud", "consent"],
)
def test_f50_f52_nothing_is_opened_where_it_is_forbidden(home: Path, forbidding: dict[str, Any]) -> None:
    """With a key, but switched off by the environment or by the user's config: no replicator, corrections work."""
    environ = {"HOME": str(home), "GRADATA_API_KEY": "k"}
    if "sync_enabled" in forbidding:
        (home / "b").mkdir()
        (home / "b" / "cloud-config.json").write_text(json.dumps(forbidding))
    else:
        environ |= forbidding
    opened: list[object] = []
    with Brain.init(home / "b", environ=environ, ports=Ports(open_replicator=lambda *a: opened.append(a))) as brain:
        assert brain.correct("a b", "a c")["durable"]
        assert open_replicator(brain.settings, brain.log_path, brain.identity) is None
    assert opened == []


def test_a_config_that_is_no_json_is_told_and_counts_as_no(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A WARNING names the file; nothing is replicated."""
    (home / "b").mkdir()
    (home / "b" / "cloud-config.json").write_text("{oops")
    with _init(home, key="k", ports=Ports(open_replicator=lambda *_: pytest.fail("opened"))):
        pass
    assert any("cloud-config.json cannot be understood" in record.getMessage() for record in caplog.records)


def test_an_endpoint_that_cannot_work_stops_no_correction(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Plain http to a far host: an ERROR with its hint, no replicator, and the correction is recorded."""
    with _init(home, key="k", endpoint="http://far.example") as brain:
        assert brain.correct("a b", "a c")["durable"]
        assert brain.replicator is None
        with pytest.raises(ConfigurationError):
            open_replicator(brain.settings, brain.log_path, brain.identity)
    assert sum("far.example" in record.getMessage() for record in caplog.records) == 1


def test_a_replicator_is_made_for_this_log_and_not_started(home: Path) -> None:
    """With key and consent there is one, at the checked endpoint, and making it starts no thread."""
    settings = Settings.resolve(home, "http://127.0.0.1:9", "k", {"HOME": str(home)})
    before = threading.active_count()
    replicator = open_replicator(settings, str(home / "events.jsonl"), Identity("b", "d"))
    assert replicator is not None
    assert replicator.endpoint == "http://127.0.0.1:9/api/v1"
    assert threading.active_count() == before
    replicator.close(0.0)


def test_a_host_without_room_for_a_thread_stops_no_correction(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A thread that cannot be started is an ERROR with the command to run beside; corrections are recorded."""

    class NoRoom(FakeReplication):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with _init(home, key="k", ports=Ports(open_replicator=lambda *_: NoRoom())) as brain:
        assert brain.correct("a b", "a c")["durable"]
        assert brain.replicator is None
    assert any("gradata replicate --follow" in record.getMessage() for record in caplog.records)


class FakeSink:
    """Answers everything with one outcome, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def send(self, action: object, report: object) -> Unavailable:
        self.asked += 1
        return Unavailable("fake")

    beat = send

    def recall(self) -> Unavailable:
        self.asked += 1
        return Unavailable("fake")

    def key_changed(self) -> bool:
        return False

    def close(self) -> None:
        self.asked = -1


def test_f52_consent_withdrawn_while_running_stops_the_next_request(home: Path) -> None:
    """Asked before each request of every kind: withheld as Denied, told as changed when it comes back."""
    fake: Any = FakeSink()
    sink, nothing = ConsentingSink(fake, Settings.resolve(str(home), environ={"HOME": str(home)})), None
    requests: Any = (lambda: sink.send(nothing, nothing), lambda: sink.beat(nothing, nothing), sink.recall)  # type: ignore[arg-type]
    assert [request() for request in requests] == [Unavailable("fake")] * 3
    config = home / "cloud-config.json"
    config.write_text('{"sync_enabled": false}')
    assert [(type(answer), answer.code) for answer in (request() for request in requests)] == [
        (Denied, "no_consent")
    ] * 3
    assert (fake.asked, sink.key_changed()) == (3, False)
    config.write_text('{"sync_enabled": true}')
    assert sink.key_changed()
    assert requests[0]() == Unavailable("fake")
    assert not sink.key_changed()
    sink.close()
    assert fake.asked == -1


def test_f55_no_representation_of_a_brain_shows_the_key(home: Path) -> None:
    """Neither the brain, its settings, nor what it logs holds the key."""
    with _init(home, key="gk_live_canary", ports=Ports(open_replicator=lambda *_: FakeReplication())) as brain:
        assert "canary" not in f"{brain!r} {brain.settings!r} {brain.identity!r}"


def test_a_host_on_asyncio_drains_and_closes_without_holding_its_loop_up(home: Path) -> None:
    """`adrain`, `aclose` and `async with` do what their plain forms do, in another thread than the loop's."""
    import asyncio

    class Slow(FakeReplication):
        threads: list[int]

        def drain(self, timeout_s: float) -> Drained:
            self.threads = [threading.get_ident()]
            return super().drain(timeout_s)

    fake = Slow()

    async def host() -> Drained | None:
        brain = Brain.init(home / "brain", environ={"HOME": str(home)}, ports=Ports(open_replicator=lambda *_: fake))
        async with brain:
            return await brain.adrain(1.5)

    (home / ".gradata").mkdir(exist_ok=True)
    (home / ".gradata" / "key").write_text("gk_live_asyncio\n")
    assert asyncio.run(host()) == Drained(3, 7, "deadline")
    assert fake.threads != [threading.get_ident()]
    assert fake.calls == ["start", "drain 1.5", "close 5.0"]
