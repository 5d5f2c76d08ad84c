"""Collect what `doctor` judges: files, settings, sidecar, lease, and the cloud if it is to be asked.

Changes nothing, and stays bounded: at most COUNT_BYTES_MAX of a backlog are counted, and the cloud has two seconds.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote

from gradata import overview
from gradata.authlog import auth_log_path
from gradata.directory import BRAIN_ID_NAME, Directory
from gradata.doctor import Facts, KeyFact, ProjectionFact
from gradata.settings import BRAIN_VARIABLES, KEY_VARIABLE, Settings, consent
from replicator.errors import ConfigurationError
from replicator.sidecar import sidecar_path
from replicator.sink import check_endpoint, check_key

COUNT_BYTES_MAX = 16 * 1024 * 1024
"""Enough for any backlog that is judged by its number; beyond it the number is a lower bound."""


def collect(
    brain: str | None, endpoint: str | None, *, ask_cloud: bool, environ: Mapping[str, str] = os.environ
) -> Facts:
    """The facts of one brain, now. Never raises for what is missing or broken: that is what is looked for."""
    settings = Settings.resolve(brain, endpoint, environ=environ)
    exists = os.path.isdir(settings.brain_dir)
    place = Directory(settings.brain_dir)
    here = overview.local(place, count_bytes_max=COUNT_BYTES_MAX) if exists else None
    address, address_trouble = _endpoint(settings)
    cloud = None
    if ask_cloud and here is not None and address_trouble is None:
        cloud = overview.cloud_side(settings, place, here, from_file=False)
    refused = consent(settings.brain_dir) if exists else None
    auth_log = auth_log_path(settings.brain_dir)
    return Facts(
        now=time.time(),
        brain_dir=settings.brain_dir,
        brain_from=_brain_from(brain, environ),
        brain_exists=exists,
        made_at=_made_at(place),
        local=here,
        cloud=cloud,
        key=_key(settings, environ),
        endpoint=address,
        endpoint_trouble=address_trouble,
        write_through=settings.write_through,
        why_not=settings.why_not,
        cloud_off=settings.cloud_off,
        consent_refused=refused.why if refused is not None else None,
        consent_by_choice=refused is None or refused.by_choice,
        projection=_projection(place, here.log_bytes if here is not None else 0),
        auth_log=auth_log if os.path.lexists(auth_log) else None,
        sqlite_version=sqlite3.sqlite_version,
        set_aside=_set_aside(place) if exists else 0,
    )


def _brain_from(brain: str | None, environ: Mapping[str, str]) -> str:
    if brain is not None:
        return "as given"
    return next((f"from {name}" for name in BRAIN_VARIABLES if environ.get(name, "").strip()), "the default")


def _made_at(place: Directory) -> float | None:
    try:
        return os.stat(os.path.join(place.path, BRAIN_ID_NAME)).st_mtime
    except OSError:
        return None


def _endpoint(settings: Settings) -> tuple[str, str | None]:
    try:
        return check_endpoint(settings.endpoint), None
    except ConfigurationError as error:
        return "", f"{error}; {error.hint}"


def _key(settings: Settings, environ: Mapping[str, str]) -> KeyFact:
    key = settings.read_key()
    if key is None:
        return KeyFact()
    without = Settings.resolve(settings.brain_dir, environ={**environ, KEY_VARIABLE: ""}).read_key()
    source = settings.key_file if without is not None else KEY_VARIABLE
    other = environ.get(KEY_VARIABLE, "").strip()
    conflict = settings.key_file_trouble() if without is not None else None
    if without is not None and other and other != without:
        conflict = f"{KEY_VARIABLE} holds another one, which is not used; unset it, or remove {settings.key_file}"
    try:
        check_key(key)
    except ConfigurationError as error:
        return KeyFact(source, f"{error}; {error.hint}")
    return KeyFact(source, None, conflict)


def _projection(place: Directory, log_bytes: int) -> ProjectionFact:
    """Read in one go and let go at once: an encrypted brain deletes this file when it is closed."""
    if not os.path.exists(place.db):
        return ProjectionFact()
    try:
        with closing(sqlite3.connect(f"file:{quote(place.db)}?mode=ro", uri=True, timeout=0.1)) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'gradata_projection'").fetchone()
            if known is None:
                return ProjectionFact(None, exists=True)
            row = connection.execute("SELECT offset FROM gradata_projection WHERE id = 1").fetchone()
    except sqlite3.Error as error:
        return ProjectionFact(trouble=f"system.db cannot be read: {error}", exists=True)
    return ProjectionFact(max(0, log_bytes - (row[0] if row is not None else 0)), exists=True)


def _set_aside(place: Directory) -> int:
    name = os.path.basename(sidecar_path(place.log)) + ".set-aside-"
    try:
        found = os.listdir(place.path)
    except OSError:
        return 0
    return sum(each.startswith(name) and each.removeprefix(name).isdigit() for each in found)
