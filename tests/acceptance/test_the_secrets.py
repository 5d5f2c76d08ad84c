"""What must never be seen, followed or left readable, with everything real: F55, F56 and F110."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from tests.acceptance.front import PASS, Front
from tests.acceptance.world import World, eventually, line, status_of, trouble_of
from tests.support.scripted import Seen, answer

OURS = (".replicator.db", ".replicator.lock", "logs/replication-auth.log")


def files_of(world: World) -> dict[Path, bytes]:
    """All files of the brain with their bytes."""
    return {path: path.read_bytes() for path in world.directory.rglob("*") if path.is_file()}


def echoing(seen: Seen) -> bytes:
    """What a careless proxy does: an error page that quotes the request's headers."""
    return answer(403, json.dumps({"detail": str(seen.headers), "code": seen.headers["authorization"]}).encode())


def test_f55_the_key_is_nowhere(world: World, front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """Denied, echoed by a proxy, in trouble, live: not in logs, files, repr, doctor, status, or a process list."""
    caplog.set_level(logging.DEBUG)
    key = world.cloud.make_key("ingest", "read")
    secret = key[-12:]
    world.keep_key(key)
    told: list[str] = []
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        front.rule = echoing
        brain.correct("c", "d")
        eventually(lambda: trouble_of(brain))
        told += [repr(x) for x in (brain, brain.settings, brain.replicator, status_of(brain))]
        for command in (["doctor"], ["doctor", "--json", "--cloud"], ["status"], ["status", "--json"]):
            done = world.run(*command)
            told += [done.stdout, done.stderr]
        front.rule = lambda _: PASS
        store = open_store(world.cloud.store_url)
        revoke_key(store, next(kept.prefix for kept in store.keys(None) if key.startswith(kept.prefix)))
        store.close()
        eventually(lambda: trouble_of(brain))
    done = world.run("replicate", "--once", "--timeout", "1")
    told += [done.stdout, done.stderr]
    follower = world.follow()
    eventually(lambda: b"follow" in Path(f"/proc/{follower.pid}/cmdline").read_bytes())
    told.append(Path(f"/proc/{follower.pid}/cmdline").read_text())
    follower.terminate()
    told += [*follower.communicate(timeout=60), caplog.text, world.cloud.said]
    assert [text for text in told if secret in text] == []
    assert [path for path, data in files_of(world).items() if secret.encode() in data] == []
    store_files = world.cloud.directory.glob("cloud.db*")
    assert [path for path in store_files if secret.encode() in path.read_bytes()] == []


def test_f55_a_key_that_cannot_be_sent_is_not_repeated(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A key with a blank in it, which an HTTP client would put into its error: told without it."""
    caplog.set_level(logging.DEBUG)
    world.keep_key("gk_live_canary canary2")
    with world.brain() as brain:
        brain.correct("a", "b")
        eventually(lambda: trouble_of(brain))
        told = [world.run("doctor").stdout, world.run("status").stdout, caplog.text]
    assert [text for text in told if "canary" in text] == []
    assert [path for path, data in files_of(world).items() if b"canary" in data] == []
    world.keep_key(world.cloud.key)
    with world.brain():
        world.settle()


def test_f55_no_text_of_a_record_is_told(world: World, front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """Refused and accepted records alike: their texts are in the log and the projection, and nowhere else."""
    caplog.set_level(logging.DEBUG)
    front.rule = lambda seen: answer(422, b'{"detail": "no"}') if b"canary-text" in seen.body else PASS
    with world.brain() as brain:
        world.append(line(0), line(1, "canary-text"), line(2))
        eventually(lambda: world.standing and world.standing.cursor.size == 3)
        assert status_of(brain).dead_letters == 1
    told = [world.run("dead-letters", "list").stdout, world.run("doctor").stdout, caplog.text]
    assert [text for text in told if "canary" in text] == []
    assert {path.name for path, data in files_of(world).items() if b"canary" in data} <= {
        "events.jsonl", "system.db", "system.db-wal",
    }  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_f56_a_planted_symlink_is_not_followed_and_loses_nothing(
    world: World, front: Front, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """In the place of sidecar, lease or auth log: its target stays as it is; corrections work; told."""
    victim = world.home / "victim"
    victim.write_text("precious")
    os.chmod(victim, 0o644)
    (world.directory / "logs").mkdir(parents=True)
    planted = world.directory / name
    planted.symlink_to(victim)
    front.rule = lambda _: answer(401, b"{}")
    with world.brain() as brain:
        for number in range(3):
            brain.correct(f"a{number}", f"b{number}")
        eventually(lambda: any(r.levelno >= logging.WARNING for r in caplog.records))
        assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("precious", 0o644)
        assert planted.is_symlink()
    front.heal()
    planted.unlink()
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == 3


def test_f56_every_file_is_for_its_user_alone(world: World, front: Front) -> None:
    """Under umask 0 and through a denial: log, sidecar, lease, auth log, projection and ids are 0600."""
    front.rule = lambda _: answer(401, b"{}")
    script = """
import os, sys
os.umask(0)
from gradata import Brain
brain = Brain.init(sys.argv[1])
brain.correct("a", "b")
print("there", flush=True)
sys.stdin.readline()
"""
    program = world.start(script)
    eventually(lambda: all((world.directory / name).exists() for name in OURS))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files_of(world)}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert stat.S_IMODE(world.directory.stat().st_mode) & 0o077 == 0
    program.kill()


def test_f110_no_secret_of_the_corpus_reaches_a_file_or_the_cloud(world: World) -> None:
    """Through Brain, command line and hook, as text, context and key: in no file of the brain or the cloud."""
    corpus = Path(__file__).parents[2] / "fixtures" / "secrets" / "goes.jsonl"
    cases = [json.loads(row) for row in corpus.read_text("utf-8").splitlines()]
    texts = [case["before"] + "".join(case["secret"]) + case["after"] for case in cases]
    with world.brain() as brain:
        for number, text in enumerate(texts):
            context = {"from": text, text: [text], "number": number}
            brain.correct(f"We say {text}", f"They said {text} 12 times", context=context)
            brain.emit("NOTE", "a test", {"patch": f"-{text}\n+none"})
    for text in texts[:: len(texts) // 8]:
        done = world.run("correct", "--draft", f"old {text}", "--final", f"new {text} twice")
        assert done.returncode == 0, done.stderr
    # A file with a private key is not captured at all.
    captured = "\n".join(text for case, text in zip(cases, texts, strict=True) if case["kind"] != "PRIVATE_KEY")
    edit = {"file_path": "a", "old_string": captured, "new_string": "none"}
    told = {"hook_event_name": "PostToolUse", "tool_name": "Edit", "session_id": "s", "cwd": str(world.home)}
    said = json.dumps({**told, "tool_use_id": "t", "tool_input": edit})
    entry = f"gradata:claude-code:{world.directory}"
    done = world.run("hook", "capture", "--entry", entry, brain=False, stdin=said, GRADATA_CAPTURE="all")
    assert (done.returncode, done.stdout) == (0, "")
    assert b'"host_session": "s"' in world.whole
    with world.brain():
        world.settle()
    assert len(world.event_ids()) >= 2 * len(texts)
    held = b"\n".join([*files_of(world).values(), *(p.read_bytes() for p in world.cloud.directory.glob("cloud.db*"))])
    for case, text in zip(cases, texts, strict=True):
        secret = "".join(case["secret"])
        needle = secret if len(secret) > 8 else text
        assert needle.encode() not in held, case["kind"]
        assert json.dumps(needle, ensure_ascii=False)[1:-1].encode() not in held, case["kind"]
