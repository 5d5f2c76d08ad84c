"""The Brain: appends each correction to the log, projects it, and has it replicated.

The order makes it safe: validate, analyse, redact, append durably; only then wake the replicator and project. What
follows the append can fail without losing anything, so it never fails the caller. There is one record per correction,
with its analysis.

All methods are thread-safe. In a forked child, the first call opens what it needs again. Partners: `events` and
`correction_diff` (pure), `projection`, `replicator_handle`, `replicator.log`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import rapidfuzz.distance  # noqa: F401  here, not in `correction`: a Brain's first correct() need not pay its 40 ms

from gradata.brain import correction_diff, correction_event, events, sdk_names
from gradata.brain.append_once import KEY_FIELD, RecentCorrections, append_once, key_field
from gradata.brain.ports import REAL_PORTS, Ports
from gradata.brain.projection.projection import Projection
from gradata.brain.replicator_handle import Link
from gradata.brain.sdk_names import RecordedEvent, SdkMethods
from gradata.config import brain_dir as directory
from gradata.config.settings import Settings
from gradata.errors import ProjectionError
from gradata.replicate.wiring import Replication, drain_by_hand, open_replicator
from replicator.errors import NotDurableError
from replicator.log import LogWriter

if TYPE_CHECKING:
    from replicator.loop import Drained

__all__ = ["Brain", "Ports", "open_replicator"]

OPEN_LIMIT_S = 0.2
APPEND_LIMIT_S = 0.002
"""Seconds for which opening and appending may project older records; queries take the time they need."""
DRAIN_S = 5.0

log = logging.getLogger("gradata")
log.addHandler(logging.NullHandler())


class Brain(SdkMethods):
    """An open brain directory. Use it as a context manager, or call `close()`.

    Raises BrainNotFoundError if the directory does not exist; `Brain.init` creates one. Never raises because of the
    cloud: without a key, or with a rejected one, everything works locally.
    """

    def __init__(
        self,
        brain_dir: str | os.PathLike[str] | None = None,
        working_dir: str | os.PathLike[str] | None = None,
        encryption_key: str | None = None,
        *,
        endpoint: str | None = None,
        key: str | None = None,
        api_key: str | None = None,
        environ: Mapping[str, str] = os.environ,
        ports: Ports = REAL_PORTS,
    ) -> None:
        del working_dir  # where the SDK looks for rules of a project
        sdk_names.refuse_encryption(encryption_key)
        self.settings = Settings.resolve(brain_dir, endpoint, sdk_names.one_key(key, api_key), environ)
        self._directory = directory.find(self.settings.brain_dir)
        self.identity = directory.identify(self._directory)
        self._ports = ports
        self._ulids = events.Ulids()
        self._writer = LogWriter(self._directory.log, ports.disk)
        self._recent = RecentCorrections()
        self._projection = Projection(self._projection_path, self._directory.log, brain_id=self.identity.brain_id)
        self._session: int | None = None
        self._closed = False
        self._link = Link(
            self.settings,
            self._directory.log,
            self.identity,
            open_replicator=ports.open_replicator,
            monotonic_s=ports.monotonic_s,
        )
        self._projecting = True
        self._project(OPEN_LIMIT_S)
        self._link.wake()

    @classmethod
    def init(
        cls,
        brain_dir: str | os.PathLike[str] | None = None,
        *,
        domain: str | None = None,
        name: str | None = None,
        company: str | None = None,
        embedding: str | None = None,
        interactive: bool | None = None,
        **options: Any,
    ) -> Self:
        """Create a brain, unless there is one, and open it. `options` are those of the constructor.

        The description of a new brain (`domain`, `name`, `company`) is recorded as its first event. ValueError for an
        `embedding` other than "local" and for `interactive=True`.
        """
        said = sdk_names.description(embedding, interactive, domain=domain, name=name, company=company)
        settings = Settings.resolve(brain_dir, environ=options.get("environ", os.environ))
        new = not os.path.lexists(os.path.join(settings.brain_dir, directory.BRAIN_ID_NAME))
        directory.create(settings.brain_dir)
        brain = cls(settings.brain_dir, **options)
        if said and new:
            brain.emit(sdk_names.INIT_EVENT, "brain.init", said)
        return brain

    # ------------------------------------------------------------ what goes in

    def correct(
        self,
        draft: str,
        final: str,
        category: str | None = None,
        context: Mapping[str, Any] | None = None,
        session: int | None = None,
        agent_type: str | None = None,
        approval_required: bool = False,
        dry_run: bool = False,
        min_severity: str = "as-is",
        scope: str | None = None,
        applies_to: str | None = None,
        auto_heal: bool = False,
        *,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Record one correction: a draft and its final text. Returns the event, and whether it is durable (`durable`).

        Once it returns, the event is durable on local disk. Replication is asynchronous, at-least-once, and
        deduplicated by `event_id`. ValueError for invalid texts or options, and for texts of more than 100,000
        characters together; the first 2,000 of each are kept, without secrets. AppendError if the log could not be
        written; no part of the event is then recorded. If the disk wrote it but did not confirm it, `durable` is False
        and an ERROR is logged: do not repeat the call, the event is in the log and will be replicated.

        The same content in the same session is the same event: the first one is returned, with `duplicate` True. An
        `idempotency_key` (1 to 200 characters) identifies the correction instead, in any session; a key that belongs to
        other texts is a ValueError. Both hold across threads, processes and crashes, for the last 8 MiB of the log.
        `dry_run` writes nothing. `min_severity` and `auto_heal` have no effect: each correction is recorded.
        `approval_required` is recorded with it.
        """
        del auto_heal
        draft, final = draft or "", final or ""
        correction_event.check_texts(draft, final)
        if min_severity not in correction_diff.SEVERITIES:
            raise ValueError(f"min_severity must be one of {', '.join(correction_diff.SEVERITIES)}")
        said = correction_event.correction_data(
            draft,
            final,
            category=category,
            scope=scope,
            applies_to=applies_to,
            options={"context": context, "agent_type": agent_type, "approval_required": approval_required},
        )
        if idempotency_key is not None:
            said[KEY_FIELD] = key_field(idempotency_key)
        event = self._event("CORRECTION", "brain.correct", said, [f"category:{said['category']}"], session)
        return {**event, "dry_run": True} if dry_run else self._record_once(event)

    def emit(
        self,
        event_type: str,
        source: str,
        data: Mapping[str, Any] | None = None,
        tags: list[str] | None = None,
        session: int | None = None,
    ) -> dict[str, Any]:
        """Record any event. Returns it with `durable`, as `correct` does.

        `session` 0 means none, as in the SDK: the event then belongs to no session, even if one is open. Values that
        JSON lacks become readable text or lists (`events.readable`). EventError for values without a readable form,
        before anything is written; AppendError as in `correct`.
        """
        none = session == 0 and not isinstance(session, bool)
        event = self._event(event_type, source, {} if data is None else data, tags or [], None if none else session)
        return self._record({**event, "session": None} if none else event)

    def end_session(
        self,
        session: int | None = None,
        *,
        session_type: str | None = None,
        session_corrections: list[dict[str, Any]] | None = None,
        timeout_s: float = DRAIN_S,
    ) -> dict[str, Any]:
        """Record the end of a session (default: the present one) and replicate what is waiting, within `timeout_s`.

        Works without corrections, and while write-through is off. Returns `session`, `corrections` in it, `event_id`,
        `durable`, and `replication`: None or `acked`, `remaining_bytes`, `reason`, as `drain`. `session_type` is
        recorded with it. ValueError for `session_corrections`: `correct` records them.
        """
        sdk_names.refuse_corrections_of_session(session_corrections)
        ended = correction_event.checked_session(session) or self._session_or_none()
        corrections = None if ended is None else self._count_corrections(ended)
        said = {"session": ended, "corrections": corrections, "platform_source": correction_event.PLATFORM}
        said |= {"session_type": session_type} if session_type is not None else {}
        event = self._record(self._event("SESSION_END", "brain.end_session", said, [], ended))
        self._session = None if ended is None else max(self._session or 1, ended + 1)
        drained = self.drain(timeout_s)
        return {
            "session": ended,
            "corrections": corrections,
            "event_id": event["event_id"],
            "durable": event["durable"],
            "replication": drained and {
                "acked": drained.acked, "remaining_bytes": drained.remaining_bytes, "reason": drained.reason
            },
        }  # fmt: skip

    # ------------------------------------------------------------ what comes out

    def query_events(
        self,
        event_type: str | None = None,
        session: int | None = None,
        last_n_sessions: int | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Events, newest first, those of other processes included. ProjectionError if system.db cannot be read."""
        if limit < 1 or (last_n_sessions is not None and last_n_sessions < 1):
            raise ValueError("limit and last_n_sessions must be positive")
        try:
            self._projection.catch_up()
            return self._projection.query(event_type, session, last_n_sessions, limit)
        finally:
            self._let_go_if_closed()

    @property
    def dir(self) -> Path:
        """The brain directory."""
        return Path(self._directory.path)

    @property
    def db_path(self) -> Path:
        """The projection: system.db, or a file below ~/.gradata where the SDK encrypts that."""
        return Path(self._projection_path())

    @property
    def log_path(self) -> str:
        """Path of events.jsonl."""
        return self._directory.log

    @property
    def replicator(self) -> Replication | None:
        """This process's replicator of the brain; None while something forbids it (while a switch is off, it idles)."""
        return self._link.replicator if self.settings.write_through else None

    @property
    def session(self) -> int:
        """The session of events that name none: the one after the last that was ended.

        Projects new records first; ProjectionError if that fails.
        """
        if self._session is None:
            self._projection.catch_up()
            self._session = self._projection.last_ended_session() + 1
        return self._session

    # ------------------------------------------------------------ the end

    def close(self, timeout_s: float = DRAIN_S) -> Drained | None:
        """Replicate what is waiting, within `timeout_s` seconds, and release files and thread. Safe to repeat.

        Returns the result of the drain; None without a replicator. `correct` and `emit` still work afterwards: they
        append.
        """
        self._closed = True
        drained = self._link.close(timeout_s)
        self._let_go_if_closed()
        return drained

    def drain(self, timeout_s: float = DRAIN_S) -> Drained | None:
        """Replicate what is waiting, within `timeout_s` seconds, even while write-through is off. Returns the result;
        None without a key, consent or thread.
        """
        if (replicator := self.replicator) is not None:
            return replicator.drain(timeout_s)
        return drain_by_hand(self.settings, self._directory.log, self.identity, timeout_s)

    async def adrain(self, timeout_s: float = DRAIN_S) -> Drained | None:
        """`drain` for asyncio: does not block the event loop."""
        return await _beside_the_loop(self.drain, timeout_s)

    async def aclose(self, timeout_s: float = DRAIN_S) -> Drained | None:
        """`close` for asyncio: does not block the event loop."""
        return await _beside_the_loop(self.close, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Brain({self._directory.path!r})"

    # ------------------------------------------------------------ in between

    def _projection_path(self) -> str:
        return directory.projection_path(self._directory, self.settings.home)

    def _event(self, event_type: str, source: str, said: object, tags: list[str], session: int | None) -> events.Event:
        wanted = correction_event.checked_session(session)
        event = events.build(
            event_type,
            source,
            said,
            tags=tags,
            session=self._present_session() if wanted is None else wanted,
            now=self._ports.now(),
        )
        ids = self.identity
        return events.signed(event, brain_id=ids.brain_id, device_id=ids.device_id, event_id=self._ulids.next())

    def _present_session(self) -> int | None:
        """The session if it can be told without reading the log through; else null, which rows may have."""
        return self._session_or_none() if self._session is None and self._projection.caught_up else self._session

    def _session_or_none(self) -> int | None:
        """Null if the projection cannot tell: no event waits, or fails, for its session's sake."""
        try:
            return self.session
        except ProjectionError as error:
            self._projection_failed(error)
            return None

    def _record(self, event: events.Event) -> dict[str, Any]:
        line = events.line_of(event)
        not_durable = None
        try:
            self._writer.append(line)
        except NotDurableError as error:
            not_durable = error
        return self._appended(event, not_durable)

    def _record_once(self, event: events.Event) -> dict[str, Any]:
        found = append_once(self._writer, self._recent, event)
        event = self._appended(found.event, found.not_durable)
        event["duplicate"] = found.duplicate
        return event

    def _appended(self, event: events.Event, not_durable: NotDurableError | None) -> RecordedEvent:
        """Whatever follows the append. It cannot fail the caller."""
        if not_durable is not None:
            hint = not_durable.hint
            log.error("%s: event %s: %s; %s", self._directory.path, event["event_id"], not_durable, hint)
        if not self._closed:
            self._link.wake()
            self._project(APPEND_LIMIT_S)
        row = self._projection.row_of(event["event_id"])
        self._let_go_if_closed()
        persisted = {"jsonl": True, "sqlite": row is not None}
        return RecordedEvent(event, durable=not_durable is None, id=row, _persisted=persisted)

    def _project(self, limit_s: float) -> None:
        try:
            self._projection.catch_up(limit_s)
        except ProjectionError as error:
            self._projection_failed(error)
        else:
            self._projecting = True

    def _projection_failed(self, error: ProjectionError) -> None:
        """Told once, until it works again."""
        if self._projecting:
            log.warning("the projection is behind the log, which is whole: %s; %s", error, error.hint)
        self._projecting = False

    def _count_corrections(self, session: int) -> int | None:
        try:
            self._projection.catch_up()
            return self._projection.count("CORRECTION", session)
        except ProjectionError as error:
            self._projection_failed(error)
            return None

    def _let_go_if_closed(self) -> None:
        if self._closed:
            self._writer.close()
            self._projection.close()


async def _beside_the_loop(do: Callable[[float], Drained | None], timeout_s: float) -> Drained | None:
    import asyncio  # 30 ms, and a host that awaits this has it

    return await asyncio.to_thread(do, timeout_s)
