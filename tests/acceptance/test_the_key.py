"""A key that comes, changes and goes under running processes: docs/failures.md F33, F51."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from tests.acceptance.front import Front
from tests.acceptance.world import World, eventually, line, trouble_of
from tests.support.cloud_fixture import LiveCloud

SECONDS_MAX = 10.0
"""Within seconds, and what a busy machine adds."""


def revoke(cloud: LiveCloud, key: str) -> None:
    """Make this key worthless at once."""
    store = open_store(cloud.store_url)
    try:
        revoke_key(store, next(kept.prefix for kept in store.keys(None) if key.startswith(kept.prefix)))
    finally:
        store.close()


def mount(directory: Path, key: str) -> Path:
    """A secret as Kubernetes mounts it: the file is a link into a directory that is exchanged as a whole."""
    version = directory / f"..{time.monotonic_ns()}"
    version.mkdir(parents=True)
    (version / "key").write_text(key)
    (version / "key").chmod(0o600)
    link = directory / "..data.new"
    link.symlink_to(version.name)
    os.replace(link, directory / "..data")
    file = directory / "key"
    if not file.is_symlink():
        file.symlink_to(Path("..data") / "key")
    return file


def test_f33_a_key_file_that_goes_and_comes_pauses_and_resumes(world: World) -> None:
    """No key while running: paused with the words for it, nothing lost; the file is back, and it flows by itself."""
    with world.brain() as brain:
        ids = [brain.correct("a", "b")["event_id"]]
        world.settle()
        world.keep_key(None)
        ids.append(brain.correct("c", "d")["event_id"])
        eventually(lambda: trouble_of(brain) == "no_key")
        found = world.doctor("--no-cloud")
        assert (found["key"][0], found["trouble"][0]) == ("missing", "warn")
        assert "~/.gradata/key" in found["trouble"][1]
        world.keep_key(world.cloud.key)
        eventually(world.in_step, SECONDS_MAX)
    assert world.event_ids() == ids


def test_f33_a_mounted_secret_is_rotated_under_a_process_that_rests(world: World, tmp_path: Path) -> None:
    """GRADATA_KEY_FILE, exchanged by a link; the old key revoked; records are another process's, nobody wakes it."""
    old, new = (world.cloud.make_key("ingest", "read") for _ in range(2))
    world.keep_key(None)
    file = mount(tmp_path / "secret", old)
    with world.brain(GRADATA_KEY_FILE=str(file)) as brain:
        world.append(line(1))
        world.settle()
        revoke(world.cloud, old)
        numbers = iter(range(2, 1_000))

        def refused() -> bool:
            world.append(line(next(numbers)))  # a cloud may remember for a moment that a key was good
            return trouble_of(brain) == "denied"

        eventually(refused)
        told = world.doctor("--cloud", GRADATA_KEY_FILE=str(file))
        assert (told["cloud"][0], told["trouble"][0]) == ("fail", "fail")
        mount(tmp_path / "secret", new)
        eventually(world.in_step, SECONDS_MAX)
    assert world.event_ids() == [f"e-{number}" for number in range(1, next(numbers))]
    assert old not in (world.directory / "logs" / "replication-auth.log").read_text()


def test_f33_a_rotation_with_both_keys_valid_is_never_noticed(world: World, front: Front) -> None:
    """The usual rotation: the new key is in the file before the old one ends; no request is refused, none repeated."""
    old, new = (world.cloud.make_key("ingest", "read") for _ in range(2))
    world.keep_key(old)
    with world.brain() as brain:
        ids = [brain.correct("a", "b")["event_id"]]
        world.settle()
        world.keep_key(new)
        revoke(world.cloud, old)
        ids.append(brain.correct("c", "d")["event_id"])
        world.settle()
        assert trouble_of(brain) is None
    assert world.event_ids() == ids
    assert front.count() == 2
    assert not (world.directory / "logs").exists()


def test_f51_a_variable_set_inside_a_running_process_is_a_key(world: World) -> None:
    """No key at the start; the process gets one into its own environment: it starts at the next append."""
    world.keep_key(None)
    with world.brain() as brain:
        first = brain.correct("a", "b")["event_id"]
        assert brain.replicator is None
        brain.settings._environ["GRADATA_API_KEY"] = world.cloud.key
        eventually(lambda: brain.correct("c", "d") and brain.replicator is not None, SECONDS_MAX)
        world.settle()
    assert first in world.event_ids()
