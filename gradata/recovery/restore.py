"""Restore a brain's log from its cloud: which log, which directory, and what becomes of an existing log.

Implements `gradata restore` in two steps: `plan`, then `carry_out`. Combines `replicator.recovery`, which only knows
logs, with settings, ids and the user's consent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gradata.config import brain_dir
from gradata.config.brain_dir import BRAIN_ID_NAME, LOG_NAME, Directory
from gradata.config.private_directories import make_private
from gradata.config.settings import Settings
from gradata.errors import BrainDirectoryError
from gradata.replicate import once
from gradata.replicate.wiring import http_reader
from replicator import recovery
from replicator.errors import ConfigurationError, LogError, SidecarError
from replicator.lease import Lease, lease_path
from replicator.recovery import merge as merging
from replicator.recovery import restore as restoring
from replicator.recovery.restore import Fetched, OnBytes, RestorePlan
from replicator.sink.reader import HttpReader
from replicator.wire.replica import ReplicaLog


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """The request. `brain`: an id, or the directory of a brain; `file` None: the brain's own log."""

    log_id: str | None = None
    brain: str | None = None
    file: str | None = None
    merge: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done.

    `others` are the brain's further logs; `settings` are those of the target's directory.
    """

    settings: Settings
    brain_id: str
    restore: RestorePlan
    others: tuple[ReplicaLog, ...] = ()
    merge: bool = False

    @property
    def is_brain(self) -> bool:
        """Whether the target is a brain's log with ids and a sidecar, or just a file."""
        return os.path.basename(self.restore.path) == LOG_NAME


@dataclass(frozen=True, slots=True)
class Restored:
    """The result. `adopted`: replication continues at the cloud's position; `appended`: records added by a merge."""

    fetched: Fetched | None = None
    backup: str | None = None
    adopted: bool = False
    appended: int = 0
    merge: merging.Merge | None = field(default=None, repr=False)


@contextmanager
def reader_for(settings: Settings) -> Iterator[HttpReader]:
    """The reader of the replica, if permitted, else ConfigurationError."""
    reader = http_reader(once.permitted(settings), settings.read_key)
    try:
        yield reader
    finally:
        reader.close()


def settled(wanted: RestoreRequest, endpoint: str | None) -> Settings:
    """The settings of the target directory; it need not exist yet."""
    if wanted.file is not None:
        return Settings.resolve(os.path.dirname(os.path.abspath(wanted.file)), endpoint)
    return Settings.resolve(wanted.brain if wanted.brain is not None and _is_path(wanted.brain) else None, endpoint)


def plan(wanted: RestoreRequest, settings: Settings, reader: HttpReader) -> Plan:
    """Find the requested log and compare it with the target. Changes nothing.

    ConfigurationError if the request is ambiguous or the directory belongs to another brain; CloudError.
    """
    path = os.path.abspath(wanted.file) if wanted.file is not None else Directory(settings.brain_dir).log
    brain_id, cloud_id, log, others = _chosen(wanted, settings, path, reader)
    if os.path.basename(path) == LOG_NAME:
        there = _id_in(os.path.dirname(path))
        if there not in (None, brain_id):
            raise ConfigurationError(
                f"{os.path.dirname(path)} is another brain's ({there}), not {brain_id}'s",
                hint="name another directory: gradata restore -o DIR/events.jsonl",
            )
    restore = restoring.plan_restore(path, reader, log, cloud_id)
    return Plan(settings, brain_id, restore, tuple(others), wanted.merge)


def _chosen(
    wanted: RestoreRequest, settings: Settings, path: str, reader: HttpReader
) -> tuple[str, str, ReplicaLog, list[ReplicaLog]]:
    """The brain, the cloud, the chosen log, and the brain's other logs."""
    if wanted.log_id is not None:
        cloud_id, log = reader.log(wanted.log_id)
        return log.brain_id or "", cloud_id, log, []
    brain_id = _brain_id(wanted, settings, reader)
    cloud_id, logs = reader.logs(brain_id)
    kept = [log for log in logs if log.head.size]
    if not kept:
        raise ConfigurationError(f"the cloud has no log of the brain {brain_id}", hint="list its brains: gradata fleet")
    wanted_id = _parent(path) if wanted.merge else None
    # The largest, the newest of those: what a cut log lost is in the generation before the present one.
    log = next((each for each in kept if each.head.log_id == wanted_id), None) or max(kept, key=lambda x: x.head.size)
    return brain_id, cloud_id, log, [each for each in kept if each is not log]


def _brain_id(wanted: RestoreRequest, settings: Settings, reader: HttpReader) -> str:
    if wanted.brain is not None and not _is_path(wanted.brain):
        return wanted.brain
    usual = Settings.resolve(wanted.brain).brain_dir
    there = _id_in(settings.brain_dir) or _id_in(usual)  # `-o FILE` elsewhere: the copy of the brain that is used here
    if there is not None:
        return there
    brains = reader.brains()
    if len(brains) == 1:
        return brains[0]
    known = ", ".join(brains[:10]) + (", …" if len(brains) > 10 else "")
    raise ConfigurationError(
        f"the cloud has {len(brains)} brains, and {settings.brain_dir} is none of them",
        hint=f"name one: gradata restore --brain ID ({known})" if brains else "check the key: it can read no brain",
    )


def _is_path(brain: str) -> bool:
    return os.sep in brain or os.path.isdir(brain) or brain.startswith(("~", "."))


def _id_in(path: str) -> str | None:
    try:
        with open(os.path.join(path, BRAIN_ID_NAME), encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _parent(log: str) -> str | None:
    """The generation before the present one: a merge is about its records."""
    try:
        standing = recovery.standing(log)
    except SidecarError:
        return None
    return None if standing is None else standing.cursor.parent


def carry_out(todo: Plan, reader: HttpReader, on_progress: OnBytes, *, force: bool) -> Restored:
    """Carry the plan out.

    LogError if an existing log is in use, or would have to be replaced and `force` is not given. CloudError if the
    cloud becomes unreachable: the part received is kept beside the target, and the next run resumes.
    """
    restore = todo.restore
    if todo.merge:
        return _merge(todo, reader, on_progress)
    _prepare(todo)
    if restore.was == "other" and not force:
        raise refused(restore)
    if not todo.is_brain:
        fetched, backup = _replace(restore, reader, on_progress)
        return Restored(fetched, backup)
    with _alone(restore.path):
        fetched, backup = _replace(restore, reader, on_progress)
        adopted = False
        if fetched is not None or _standing_is_lost(restore):
            adopted = restoring.adopt(restore, reader, endpoint=once.permitted(todo.settings)) is not None
    return Restored(fetched, backup, adopted)


def _replace(restore: RestorePlan, reader: HttpReader, on_progress: OnBytes) -> tuple[Fetched | None, str | None]:
    """Download what is missing and move it into place."""
    if restore.was not in ("absent", "behind", "other"):
        return None, None
    fetched = restoring.fetch(restore, reader, on_progress)
    backup = None
    if restore.was == "other":
        backup = f"{restore.path}.before-restore-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}"
    restoring.put(restore, fetched, keep_as=backup)
    return fetched, backup


def refused(restore: RestorePlan) -> LogError:
    """Why an existing log is not replaced."""
    own = restore.local_records - restore.shared
    return LogError(
        f"the log {restore.path} is no prefix of the copy: it has {own:,} records of its own, from number"
        f" {restore.shared:,} on",
        hint="append what only the cloud has: gradata restore --merge; or replace it and keep a backup: --force",
    )


def _merge(todo: Plan, reader: HttpReader, on_progress: OnBytes) -> Restored:
    found = merging.find_missing(todo.restore, reader, on_progress)
    return Restored(merge=found, appended=merging.append_missing(todo.restore, found))


def _prepare(todo: Plan) -> None:
    """The directory and, for a brain, whose it is; before anything is in it that a Brain could open."""
    path = os.path.dirname(todo.restore.path)
    try:
        make_private(path)
    except OSError as error:
        raise BrainDirectoryError(
            f"{path} cannot be made: {error.strerror}", hint="choose a writable directory"
        ) from error
    if todo.is_brain:
        brain_dir.claim(Directory(path), todo.brain_id)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Ensures that nobody replicates the log meanwhile: a live replicator would take the copy for another log."""
    lease = Lease(lease_path(path))
    if not lease.acquire():
        holder = Lease.holder(lease.path)
        who = "" if holder is None or holder.pid is None else f" (process {holder.pid})"
        raise LogError(
            f"the log {path} is being replicated now{who}; it is not replaced under a running program",
            hint="close the programs that use this brain, then run it again",
        )
    try:
        yield
    finally:
        lease.release()


def _standing_is_lost(restore: RestorePlan) -> bool:
    """Whether the log already equals the copy and only the sidecar is missing."""
    try:
        return restore.was in ("identical", "ahead") and recovery.standing(restore.path) is None
    except SidecarError:
        return True
