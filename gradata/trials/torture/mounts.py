"""Scratch disks whose power can be cut or space filled: loop-mounted ext4 or xfs, a tmpfs, or none.

Mounted in a mount namespace of this process, so nothing of the machine is visible or changed, and everything disappears
with the process. Loop devices need root; a tmpfs may not. If neither is permitted, the caller gets a plain directory,
and `why` says what cannot be tried. Call `alone()` before any thread starts.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

SIZE_BYTES = 512 * 1024 * 1024
"""Of a file system: sparse, so it takes what is written."""
TMPFS_BYTES = 256 * 1024 * 1024
UNMOUNT_S = 20.0
FREEZE_S = 5.0
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN, the same for ext4 and xfs."""
_WITHOUT_FLUSHING = 2
MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}


def alone() -> str | None:
    """Create a mount namespace for this process; returns why not, if it is not permitted."""
    if sys.platform != "linux":
        return "only Linux can take a disk's power away here"
    user, group = os.getuid(), os.getgid()
    try:
        if user == 0:
            _unshare(_CLONE_NEWNS)
        else:
            _unshare(_CLONE_NEWUSER | _CLONE_NEWNS)
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(text)
        _mount("none", "/", "", _MS_REC_PRIVATE)
    except OSError as error:
        return f"mounts of one's own are not permitted: {error.strerror}"
    return None


def freeze(pids: Iterable[int]) -> None:
    """Stop these processes; returns when none of their threads runs.

    Call this before a cut: a process that survives while a disk has lost its power sees what no machine can show. ext4
    reports success for an fdatasync under way although its data is gone.
    """
    frozen = list(pids)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + FREEZE_S
    while any(_runs(pid) for pid in frozen) and time.monotonic() < deadline:
        time.sleep(0.001)


def _runs(pid: int) -> bool:
    """Whether a thread of it is neither stopped nor inside a call of the kernel that ends in being stopped."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8", errors="replace") as file:
            if file.read().rpartition(")")[2].split()[0] not in "TtDZX":
                return True
    return False


@dataclass
class TrialPlace:
    """A directory, possibly on its own disk. `kind`: "directory", "tmpfs", "ext4" or "xfs"."""

    path: str
    kind: str = "directory"
    image: str = ""

    @property
    def can_fill(self) -> bool:
        """Whether its space is its own."""
        return self.kind != "directory"

    @property
    def can_cut(self) -> bool:
        """Whether its power can be cut."""
        return self.kind in MAKE

    def fill(self) -> None:
        """Fill the remaining space."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for size in (1 << 24, 1 << 18, 1 << 12):
                _allocate_all_it_gives(descriptor, size)
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Free that space."""
        if os.path.exists(self._ballast):
            os.unlink(self._ballast)

    def cut(self) -> None:
        """Cut the power: unsynced data is lost, and every call fails from now on."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)

    def restore(self) -> None:
        """Mount it again, as a booting machine does; no process may have a file open there."""
        self._unmount()
        _run("mount", "-o", "loop", "-t", self.kind, self.image, self.path)

    def close(self) -> None:
        """Unmount it, and remove its image."""
        if self.kind in MAKE:
            self._unmount()
            os.unlink(self.image)
        elif self.kind == "tmpfs":
            self._unmount()

    @property
    def _ballast(self) -> str:
        return os.path.join(self.path, "ballast")

    def _unmount(self) -> None:
        deadline = time.monotonic() + UNMOUNT_S
        while ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(self.path), 0) != 0:
            code = ctypes.get_errno()
            if code != errno.EBUSY or time.monotonic() > deadline:
                raise OSError(code, os.strerror(code), self.path)
            time.sleep(0.01)


def mounted(path: str, *kinds: str, small: bool = False) -> tuple[TrialPlace, str | None]:
    """A disk of the first possible kind, mounted at `path`, and why no earlier kind was possible."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    why = None
    for kind in kinds:
        try:
            return _disk(path, kind, small=small), why
        except OSError as error:
            why = why or f"no {kind} of one's own here: {error.strerror or error}"
    return TrialPlace(path), why


def _disk(path: str, kind: str, *, small: bool) -> TrialPlace:
    if kind == "tmpfs":
        _mount("gradata-torture", path, "tmpfs", 0, f"size={TMPFS_BYTES},mode=0700")
        return TrialPlace(path, kind)
    image = f"{path}.{kind}"
    tool = MAKE[kind]
    if shutil.which(tool[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise OSError(errno.ENOENT, f"{tool[0]} is not installed")
    if os.getuid() != 0:
        raise OSError(errno.EPERM, "loop devices need root")
    with open(image, "wb") as file:
        file.truncate(SIZE_BYTES if not small or kind == "xfs" else SIZE_BYTES // 8)
    try:
        _run(*tool, image)
        _run("mount", "-o", "loop", "-t", kind, image, path)
    except OSError:
        os.unlink(image)
        raise
    return TrialPlace(path, kind, image)


def _run(*command: str) -> None:
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    except FileNotFoundError as error:
        raise OSError(errno.ENOENT, f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise OSError(errno.EPERM, f"{command[0]}: {done.stderr.strip()}")


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    if ctypes.CDLL(None, use_errno=True).mount(*arguments[:3], ctypes.c_ulong(flags), arguments[4]) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _allocate_all_it_gives(descriptor: int, size: int) -> None:
    try:
        while True:
            os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
