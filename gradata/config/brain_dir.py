"""A brain's directory: the paths of its files, and its two ids.

Creates what is missing and changes nothing that exists, because older versions and people wrote it. Partner: `brain`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.config.private_directories import make_private
from gradata.errors import BrainDirectoryError, BrainNotFoundError

if TYPE_CHECKING:
    from replicator.model import Identity

LOG_NAME = "events.jsonl"
DB_NAME = "system.db"
ENCRYPTED_NAME = "system.db.enc"
"""What the SDK keeps of an encrypted brain while it is closed. Beside it a plain system.db would be taken for the newer
one, and encrypted in its place."""
PROJECTIONS_NAME = "projections"
BRAIN_ID_NAME = ".tenant_id"
DEVICE_ID_NAME = ".device_id"
ID_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Directory:
    """The paths of one brain. Only `log` is ever sent anywhere."""

    path: str

    @property
    def log(self) -> str:
        """The log: the one file that is replicated."""
        return os.path.join(self.path, LOG_NAME)

    @property
    def db(self) -> str:
        """The SDK's database, which is the projection unless it is encrypted (`projection_path`)."""
        return os.path.join(self.path, DB_NAME)

    @property
    def encrypted(self) -> bool:
        """Whether the SDK encrypts this brain's database."""
        return os.path.lexists(os.path.join(self.path, ENCRYPTED_NAME))


def projection_path(directory: Directory, home: str) -> str:
    """Where the projection is now: system.db, or below the user's own directory for a brain that the SDK encrypts."""
    if not directory.encrypted:
        return directory.db
    import hashlib  # here: a hook, which has no projection, does not load it

    name = hashlib.sha256(os.fsencode(os.path.realpath(directory.path))).hexdigest()[:32]
    return os.path.join(home, ".gradata", PROJECTIONS_NAME, f"{name}.db")


def create(path: str) -> Directory:
    """Create a brain directory, mode 0700, with an empty log and its ids. Idempotent: existing files are kept."""
    try:
        make_private(path)
        directory = Directory(path)
        os.close(os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        raise BrainDirectoryError(
            f"no brain can be made at {path}: {error.strerror}", hint="choose a writable directory"
        ) from error
    identify(directory)
    return directory


def find(path: str) -> Directory:
    """The directory of an existing brain; BrainNotFoundError if there is none."""
    if not os.path.isdir(path):
        what = "is no directory" if os.path.exists(path) else "does not exist"
        raise BrainNotFoundError(f"there is no brain at {path}: it {what}", hint=f"run: gradata init {path}")
    return Directory(path)


def identify(directory: Directory) -> Identity:
    """The brain's identity. A brain older than the ids gets them here; concurrent processes get the same."""
    from replicator.model import Identity  # here: a hook needs the ids alone, and not what else is there

    return Identity(*ids(directory))


def ids(directory: Directory) -> tuple[str, str]:
    """brain_id and device_id, created if absent, as in `identify`."""
    return (
        _id_in(os.path.join(directory.path, BRAIN_ID_NAME), _uuid),
        _id_in(os.path.join(directory.path, DEVICE_ID_NAME), lambda: f"dev_{_uuid().replace('-', '')}"),
    )


def claim(directory: Directory, brain_id: str) -> None:
    """Make this the directory of the brain `brain_id`, unless it already belongs to one, with a new device id.

    BrainDirectoryError if it belongs to another brain.
    """
    there = _id_in(os.path.join(directory.path, BRAIN_ID_NAME), lambda: brain_id)
    if there != brain_id:
        raise BrainDirectoryError(f"{directory.path} is another brain's ({there})", hint="choose another directory")
    identify(directory)


def _uuid() -> str:
    import uuid  # here: a brain gets its ids once

    return str(uuid.uuid4())


def _id_in(path: str, make: Callable[[], str]) -> str:
    try:
        found = _read(path)
        if not found:
            _write_once(path, make(), replace=found is not None)
            found = _read(path) or ""
    except OSError as error:
        raise BrainDirectoryError(
            f"{path} cannot be read or made: {error.strerror}", hint="check the permissions of the brain directory"
        ) from error
    if not 0 < len(found) <= ID_CHARACTERS_MAX or not found.isprintable():
        raise BrainDirectoryError(
            f"{path} holds no id (1 to {ID_CHARACTERS_MAX} printable characters)", hint=f"restore it, or remove {path}"
        )
    return found


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return None


def _write_once(path: str, text: str, *, replace: bool) -> None:
    """Write the file atomically; the first writer wins, because two ids would make two brains of one.

    `replace`: the file exists and is empty, left by a crash of a version that did not write it atomically.
    """
    draft = f"{path}.{_uuid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        if not replace:
            os.link(draft, path)
    except FileExistsError:
        os.unlink(draft)  # another process was first: its id is read next
        return
    except OSError:
        replace = True  # a file system without links: the last writer wins here
    if replace:
        os.replace(draft, path)
    else:
        os.unlink(draft)
