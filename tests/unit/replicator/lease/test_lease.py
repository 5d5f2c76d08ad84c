"""The lease within one process: taking, losing, giving back, and what may stand in its place."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import resource
import stat
import time
from pathlib import Path

import pytest

from replicator.errors import SidecarError
from replicator.lease import Holder, Lease, lease_path
from tests.support.patience import AT_ONCE_S


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the lease is to be."""
    return lease_path(str(tmp_path / "events.jsonl"))


def test_one_holds_the_other_waits_until_it_is_released(path: str) -> None:
    """A lease is free, then held by one, then free again; asking twice is fine."""
    one, two = Lease(path), Lease(path)

    assert (one.holds(), two.holds()) == (False, False)
    assert (one.acquire(), one.acquire(), two.acquire()) == (True, True, False)
    assert (one.holds(), two.holds()) == (True, False)
    one.release()
    one.release()
    assert (one.holds(), two.acquire()) == (False, True)
    two.release()


def test_the_holder_is_named_for_people(path: str) -> None:
    """Pid, host and time are what the holder wrote; nobody is named before and after."""
    lease = Lease(path, wall=lambda: 0.0)
    assert Lease.holder(path) is None
    assert not os.path.lexists(path)
    lease.acquire()

    found = Lease.holder(path)

    assert found is not None
    assert (found.pid, found.since) == (os.getpid(), "1970-01-01T00:00:00Z")
    assert found.host
    lease.release()
    assert Lease.holder(path) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\x00", b'{"pid": "x", "host": 5, "since": []}', b"[" * 4000])
def test_a_holder_that_wrote_nonsense_is_still_a_holder(path: str, text: bytes) -> None:
    """The lock counts, the text does not."""
    lease = Lease(path)
    lease.acquire()
    Path(path).write_bytes(text)

    assert Lease.holder(path) == Holder()
    lease.release()


def test_a_longer_text_of_an_earlier_holder_is_replaced_whole(path: str) -> None:
    """What people read is JSON of the present holder alone."""
    Path(path).write_text("x" * 4000)
    lease = Lease(path)
    lease.acquire()

    assert json.loads(Path(path).read_text())["pid"] == os.getpid()
    lease.release()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_lease_whose_file_went_away_is_held_no_more_and_can_be_taken_anew(path: str, replaced: bool) -> None:
    """Deleted or replaced, another process could lock the new file: so ours counts no longer."""
    lease = Lease(path)
    lease.acquire()
    os.unlink(path)
    if replaced:
        Path(path).touch()

    assert not lease.holds()
    other = Lease(path)
    assert (other.acquire(), lease.acquire()) == (True, False)
    other.release()
    assert lease.acquire()
    lease.release()


def test_an_acquisition_gives_way_to_a_probe(path: str) -> None:
    """Somebody who only looks (a shared lock) makes the lease look taken for no longer than it looks."""
    Path(path).touch()
    with open(path, "rb") as probe:
        fcntl.flock(probe, fcntl.LOCK_SH)
        lease = Lease(path)
        started = time.monotonic()
        assert not lease.acquire()
        assert time.monotonic() - started <= AT_ONCE_S
        fcntl.flock(probe, fcntl.LOCK_UN)
        assert lease.acquire()
    lease.release()


def test_f21_a_lease_reached_by_two_paths_is_one(tmp_path: Path) -> None:
    """A symlinked brain directory gives no second lease, whichever way its path was written."""
    (tmp_path / "brain").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "brain")
    one, two = Lease(str(tmp_path / "brain" / ".replicator.lock")), Lease(str(tmp_path / "alias" / ".replicator.lock"))

    assert (one.acquire(), two.acquire()) == (True, False)
    assert lease_path(str(tmp_path / "alias" / "events.jsonl")) == one.path
    one.release()


def test_f21_a_directory_moved_and_linked_back_keeps_its_lease(tmp_path: Path) -> None:
    """Moved away, the lease is not ours at that path; linked back, it is ours again: the inode decides."""
    (tmp_path / "brain").mkdir()
    lease = Lease(str(tmp_path / "brain" / ".replicator.lock"))
    lease.acquire()
    os.rename(tmp_path / "brain", tmp_path / "moved")
    assert not lease.holds()

    (tmp_path / "brain").symlink_to(tmp_path / "moved")

    assert lease.holds()
    lease.release()


@pytest.mark.parametrize("dangling", [False, True])
def test_f56_a_symlink_planted_at_the_lease_is_not_followed(path: str, dangling: bool) -> None:
    """Neither who acquires nor who looks touches the victim; the message names the link."""
    victim = Path(path).with_name("victim")
    if not dangling:
        victim.write_text("precious")
    os.symlink(victim, path)

    with pytest.raises(SidecarError, match="symlink") as raised:
        Lease(path).acquire()
    with pytest.raises(SidecarError, match="symlink"):
        Lease.holder(path)

    assert path in str(raised.value)
    assert raised.value.hint
    assert (victim.read_text() if victim.exists() else None) == (None if dangling else "precious")


def test_f56_a_fifo_or_directory_at_the_lease_does_not_hang(path: str) -> None:
    """Whatever is no regular file is refused at once."""
    os.mkfifo(path)
    with pytest.raises(SidecarError):
        Lease(path).acquire()
    with pytest.raises(SidecarError):
        Lease.holder(path)
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(SidecarError):
        Lease(path).acquire()


@pytest.mark.parametrize("exists", [False, True])
def test_f56_the_lease_file_is_0600_even_under_umask_0(path: str, exists: bool) -> None:
    """Made private; one that is world-readable is tightened."""
    before = os.umask(0)
    try:
        if exists:
            Path(path).touch(0o666)
        lease = Lease(path)
        lease.acquire()
    finally:
        os.umask(before)

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    lease.release()


def test_f19_the_lease_holds_although_its_text_cannot_be_written(path: str) -> None:
    """On a full disk the lock works without the text for people."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        lease = Lease(path)
        taken = lease.acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (taken, lease.holds(), Lease.holder(path)) == (True, True, Holder())
    lease.release()


def test_a_missing_directory_is_an_error_for_who_acquires_and_nobody_for_who_looks(tmp_path: Path) -> None:
    """No directory is made; the hint names it."""
    path = str(tmp_path / "no" / ".replicator.lock")

    with pytest.raises(SidecarError) as raised:
        Lease(path).acquire()

    assert str(tmp_path / "no") in raised.value.hint
    assert Lease.holder(path) is None


def test_no_descriptor_is_left(path: str) -> None:
    """Refused, taken, released and looked at a hundred times: no more descriptors open than before."""
    gc.collect()  # what other tests left behind may be closed at any moment
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    one, two = Lease(path), Lease(path)
    for _ in range(100):
        one.acquire()
        two.acquire()
        Lease.holder(path)
        one.release()
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    assert after <= before
