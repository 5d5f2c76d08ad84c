"""Collects the facts for `doctor`: files, settings, sidecar, lease, agents and, unless disabled, the cloud.

Changes nothing and is bounded: at most COUNT_BYTES_MAX of a backlog are counted and LOOKED_BYTES of records inspected.
A cloud that does not answer is asked once, for two seconds, however many brains replicate to it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

from gradata.config.brain_dir import BRAIN_ID_NAME, LOG_NAME, Directory, projection_path
from gradata.config.settings import KEY_VARIABLE, Settings, consent, stale_token
from gradata.doctor import DiskFact, DoctorFacts, EventsFact, KeyFact, ProjectionFact, RecordsFact, Thresholds
from gradata.hints import hint_of
from gradata.replicate import state
from gradata.replicate.auth_log import auth_log_path
from gradata.replicate.state import CloudSide, Local
from replicator.errors import ConfigurationError, LogError
from replicator.framing import interpret
from replicator.lease.other_processes import is_stopped, lock_holder
from replicator.sidecar import sidecar_path
from replicator.sink import check_endpoint, check_key

COUNT_BYTES_MAX = 16 * 1024 * 1024
"""Enough for any backlog that is judged by its count; above it the count is a lower bound."""
LOOKED_BYTES = 4 * 1024 * 1024
"""Bytes at the end of the log that are searched for damaged records."""
FRESH_RECORDS = 100
DEPTH_MAX, DIRECTORIES_MAX = 6, 100_000
_NEVER_BRAINS = frozenset({".git", ".venv", "node_modules", "__pycache__", "site-packages", "proc", "sys"})


def collect(
    brain: str | None, endpoint: str | None, *, ask_cloud: bool, environ: Mapping[str, str] = os.environ
) -> DoctorFacts:
    """The present facts of one brain. Never raises for what is missing or broken: that is what is looked for."""
    return collect_many((brain,), endpoint, ask_cloud=ask_cloud, environ=environ)[0]


def collect_many(
    brains: Sequence[str | None],
    endpoint: str | None,
    *,
    ask_cloud: bool,
    environ: Mapping[str, str] = os.environ,
) -> list[DoctorFacts]:
    """The facts of several brains. A cloud that does not answer for one is not asked again."""
    silent: dict[str, CloudSide] = {}
    found = []
    for brain in brains:
        settings = Settings.resolve(brain, endpoint, environ=environ)
        facts = _local_facts(settings, environ)
        if ask_cloud and facts.local is not None and facts.endpoint_trouble is None:
            cloud = silent.get(facts.endpoint) or state.cloud_side(
                settings, Directory(settings.brain_dir), facts.local, from_file=False
            )
            if cloud.code == "unavailable":
                silent[facts.endpoint] = cloud
            facts = replace(facts, cloud=cloud)
        found.append(facts)
    return found


def find_brains(directory: str) -> list[str]:
    """Every brain at or below a directory, in the order of their paths; links are not followed."""
    found = []
    base = os.path.abspath(directory)
    for looked, (place, directories, files) in enumerate(os.walk(base, followlinks=False)):
        if LOG_NAME in files or BRAIN_ID_NAME in files:
            found.append(place)
            directories.clear()
        elif place.count(os.sep) - base.count(os.sep) >= DEPTH_MAX or looked >= DIRECTORIES_MAX:
            directories.clear()
        else:
            directories[:] = sorted(set(directories) - _NEVER_BRAINS)
    return found


def _local_facts(settings: Settings, environ: Mapping[str, str]) -> DoctorFacts:
    exists = os.path.isdir(settings.brain_dir)
    place = Directory(settings.brain_dir)
    here = state.local(place, count_bytes_max=COUNT_BYTES_MAX) if exists else None
    address, address_trouble = _endpoint(settings)
    refused = consent(settings.brain_dir) if exists else None
    wrong, off = settings.trouble(), settings.off()
    auth_log = auth_log_path(settings.brain_dir)
    facts = DoctorFacts(
        now=time.time(),
        brain_dir=settings.brain_dir,
        brain_from=_origin(settings.origins.get("brain", "")),
        brain_exists=exists,
        made_at=_made_at(place),
        local=here,
        key=_key(settings, environ),
        endpoint=address,
        endpoint_from=_origin(settings.origins.get("endpoint", "")),
        endpoint_trouble=address_trouble,
        config_trouble=None if wrong is None else f"{wrong.why}; {wrong.hint}",
        config_files=tuple(config.path for config in settings.configs() if config.exists),
        write_through=off is None,
        why_not=None if off is None else off.why,
        cloud_off=settings.cloud_off,
        consent_refused=refused.why if refused is not None else None,
        consent_by_choice=refused is None or refused.by_choice,
        auth_log=auth_log if os.path.lexists(auth_log) else None,
        sqlite_version=sqlite3.sqlite_version,
        set_aside=_set_aside(place) if exists else 0,
        thresholds=Thresholds(settings.backlog_records_max, settings.backlog_warn_s, settings.silent_s),
    )
    if here is None:
        return facts
    from gradata.agents import findings  # here: not for a brain that is not there

    return replace(
        facts,
        projection=_projection(place, settings.home, here.log_bytes),
        records=_records(place.log),
        log_lock=lock_holder(place.log),
        leader_stopped=_leader_stopped(here),
        disk=_disk(place.path),
        events=_events(place.path),
        agents=findings(settings.home, settings.brain_dir, environ=environ),
    )


def _leader_stopped(here: Local) -> bool:
    holder = here.holder
    return holder is not None and holder.is_here and is_stopped(holder.pid or 0)


def _origin(origin: str) -> str:
    return {"argument": "as given", "default": "the default"}.get(origin, f"from {origin}")


def _made_at(place: Directory) -> float | None:
    try:
        return os.stat(os.path.join(place.path, BRAIN_ID_NAME)).st_mtime
    except OSError:
        return None


def _endpoint(settings: Settings) -> tuple[str, str | None]:
    try:
        return check_endpoint(settings.endpoint), None
    except ConfigurationError as error:
        return "", f"{error}; {hint_of(error)}"


def _key(settings: Settings, environ: Mapping[str, str]) -> KeyFact:
    key, source, stale = settings.read_key(), settings.key_source(), stale_token(settings)
    if key is None or source is None:
        return KeyFact(stale_token=stale)
    other = environ.get(KEY_VARIABLE, "").strip()
    conflict = settings.key_file_trouble() if source == settings.key_file else None
    if source == settings.key_file and other and other != key:
        conflict = f"{KEY_VARIABLE} holds another one, which is not used; unset it, or remove {settings.key_file}"
    try:
        check_key(key)
    except ConfigurationError as error:
        return KeyFact(source, f"{error}; {hint_of(error)}", stale_token=stale)
    return KeyFact(source, None, conflict, stale)


def _projection(place: Directory, home: str, log_bytes: int) -> ProjectionFact:
    path = projection_path(place, home)
    found = _projection_at(path, place.log, log_bytes)
    return found if path == place.db else replace(found, elsewhere=path)


def _projection_at(path: str, log: str, log_bytes: int) -> ProjectionFact:
    """Read in one go and let go at once: an encrypted brain deletes this file when it is closed."""
    if not os.path.exists(path):
        return ProjectionFact()
    try:
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, timeout=0.1)) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'gradata_projection'").fetchone()
            if known is None:
                return ProjectionFact(None, exists=True)
            row = connection.execute("SELECT offset FROM gradata_projection WHERE id = 1").fetchone()
    except sqlite3.Error as error:
        return ProjectionFact(trouble=f"{os.path.basename(path)} cannot be read: {error}", exists=True)
    offset = row[0] if row is not None else 0
    try:
        behind = state.backlog(log, offset, log_bytes, COUNT_BYTES_MAX)
    except LogError:
        return ProjectionFact(max(0, log_bytes - offset), exists=True, exact=False)  # why is said by the log's check
    return ProjectionFact(max(0, log_bytes - offset), True, None, behind.records, behind.exact)


def _records(log: str) -> RecordsFact:
    """The whole records at the end of the log, interpreted as the cloud will."""
    try:
        with open(log, "rb", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - LOOKED_BYTES)
            file.seek(start)
            data = file.read(end - start)
    except OSError:
        return RecordsFact()  # why is said by the log's own check
    begin = data.find(b"\n") + 1 if start else 0
    lines = data[begin : data.rfind(b"\n") + 1].split(b"\n")[:-1]
    damaged, fresh, last_at, at = 0, 0, None, start + begin
    for number, line in enumerate(lines):
        if not isinstance(interpret(line + b"\n"), dict):
            damaged += 1
            fresh += number >= len(lines) - FRESH_RECORDS
            last_at = at
        at += len(line) + 1
    return RecordsFact(len(lines), damaged, fresh, last_at, whole=not start)


def _disk(path: str) -> DiskFact:
    import shutil

    try:
        usage = shutil.disk_usage(path)
        facts = os.statvfs(path) if hasattr(os, "statvfs") else None
    except OSError as error:
        return DiskFact(trouble=error.strerror or type(error).__name__)
    inodes = facts.f_favail if facts is not None and facts.f_files else None
    return DiskFact(usage.free, usage.total, inodes)


def _events(path: str) -> EventsFact:
    """Try to create a watch: only a limit that has been reached matters, whoever uses it."""
    if not sys.platform.startswith("linux"):
        return EventsFact(None, "this system has no limit that can be asked")
    import ctypes

    names = ("max_user_instances", "max_user_watches")
    limits = ", ".join(f"{name} {value}" for name in names if (value := _number(f"/proc/sys/fs/inotify/{name}")))
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.inotify_init1(os.O_CLOEXEC)
    except (OSError, AttributeError):
        return EventsFact(None, "the C library has no inotify")
    if descriptor < 0:
        return EventsFact(False, f"no further watcher: {os.strerror(ctypes.get_errno())}", limits)
    try:
        if libc.inotify_add_watch(descriptor, os.fsencode(path), 2) < 0:  # 2: IN_MODIFY
            return EventsFact(False, f"no further watch: {os.strerror(ctypes.get_errno())}", limits)
    finally:
        os.close(descriptor)
    return EventsFact(True, "", limits)


def _number(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(32).strip()
    except OSError:
        return ""


def _set_aside(place: Directory) -> int:
    name = os.path.basename(sidecar_path(place.log)) + ".set-aside-"
    try:
        found = os.listdir(place.path)
    except OSError:
        return 0
    return sum(each.startswith(name) and each.removeprefix(name).isdigit() for each in found)
