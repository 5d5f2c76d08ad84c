"""Append a correction unless the log has it: the same content in the same session is the same event.

The question is asked under the log's lock, so that of two processes with one correction one appends; and of the log
itself, so that who was killed between the append and the answer finds what he appended. Only the end of the log is
looked at (LOOK_BACK_BYTES): memory and time are bounded, and what lies further back is recorded anew.

Content is what the event's data says, without its secrets: `content_hash`, which every row has. An idempotency key
names the correction instead, in whatever session. Partners: `replicator.log.LogWriter`, `brain` and the hooks.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from gradata.brain import events
from replicator.errors import NotDurableError
from replicator.log import Appended, LogTail, LogWriter

LOOK_BACK_BYTES = 8 * 1024 * 1024
"""Some 7,000 corrections of the usual size."""
KEY_CHARACTERS_MAX = 200
KEY_FIELD = "idempotency_key"

# A row as `events.line_of` writes it: `session` is its second key, `content_hash` its last.
_ROW = re.compile(
    rb'^\{"ts": "[^"\n]{1,40}", "session": (null|[0-9]{1,19}), "type": "CORRECTION", '
    rb'.*"content_hash": "([0-9a-f]{64})"\}$',
    re.MULTILINE,
)
_KEY = re.compile(rb'"idempotency_key": "(sha256:[0-9a-f]{32})"')
_KEY_MARK = b'"idempotency_key": "sha256:'
_HASH_CHARACTERS = 32
_LINE_BYTES = 16 * 1024
"""What is read for a line at first: most are shorter."""
_TEXT_FIELDS = ("draft_text", "final_text", "texts_sha256")


@dataclass(frozen=True, slots=True)
class RecordedCorrection:
    """The event in the log. `duplicate`: it was there already. `not_durable`: why the disk did not confirm it."""

    event: events.Event
    duplicate: bool
    not_durable: NotDurableError | None


def append_once(writer: LogWriter, recent: RecentCorrections, event: events.Event) -> RecordedCorrection:
    """Append the event, unless the log has that correction. Raises AppendError, LogError as `LogWriter.append`.

    Raises ValueError if its idempotency key names a correction of other texts.
    """
    found: events.Event | None = None

    def has_it(tail: LogTail) -> bool:
        nonlocal found
        found = recent.find(tail, event)
        return found is not None

    not_durable = None
    try:
        appended = writer.append_unless(events.line_of(event), has_it)
        if appended is not None:
            recent.note(event, appended)
    except NotDurableError as error:
        not_durable = error
    if found is not None:
        _check_texts_are_the_same(found, event)
    return RecordedCorrection(found or event, found is not None, not_durable)


def key_field(key: object) -> str:
    """What an event keeps of an idempotency key: a digest, since a key may hold what redaction takes out.

    Raises ValueError unless it is text of 1 to KEY_CHARACTERS_MAX characters.
    """
    if not isinstance(key, str) or not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise ValueError(f"idempotency_key must be text of 1 to {KEY_CHARACTERS_MAX} characters")
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class RecentCorrections:
    """Where the corrections at the end of a log stand, by content and by key. What it finds is read from the
    log and compared, so a stale place does no harm."""

    def __init__(self, look_back_bytes: int = LOOK_BACK_BYTES) -> None:
        self._look_back_bytes = look_back_bytes
        self._log: object = None
        self._end = 0
        self._places: dict[bytes, int] = {}
        """Identity → where its first line begins; in the log's order, so that the oldest go first."""

    def find(self, tail: LogTail, event: events.Event) -> events.Event | None:
        """The event in the log that is this one; None if there is none, or if the log cannot be read."""
        try:
            self._read_on(tail)
            start = self._places.get(_identity(event))
            found = None if start is None else _event_at(tail, start)
        except OSError:
            return None  # a correction twice is better than none
        return found if found is not None and _identity(found) == _identity(event) else None

    def note(self, event: events.Event, appended: Appended) -> None:
        """Take in what was just appended, so that it need not be read. Outside the lock: if another thread takes it in
        meanwhile, the end goes back at most, and lines are taken in twice, which changes nothing."""
        if self._end == appended.offset:
            self._places.setdefault(_identity(event), appended.offset)
            self._end = appended.offset + appended.length

    def _read_on(self, tail: LogTail) -> None:
        """Take in what was appended since the last time. A line that is not ended yet is looked at again."""
        if tail.identity != self._log or tail.size < self._end:
            self._log, self._end, self._places = tail.identity, 0, {}
        if tail.size == self._end:
            return
        floor = tail.size - self._look_back_bytes
        start = max(self._end, floor, 0)
        data = tail.read(start, tail.size - start)
        has_keys = _KEY_MARK in data
        for row in _ROW.finditer(data):
            key = _KEY.search(data, row.start(), row.end()) if has_keys else None
            self._places.setdefault(key[1] if key else _said(row[2], row[1]), start + row.start())
        self._end = start + data.rfind(b"\n") + 1
        while self._places and (oldest := next(iter(self._places.items())))[1] < floor:
            del self._places[oldest[0]]


def _identity(event: events.Event) -> bytes:
    said = event.get("data")
    if isinstance(said, dict) and isinstance(key := said.get(KEY_FIELD), str):
        return key.encode()
    session = event.get("session")
    return _said(str(event.get("content_hash")).encode(), b"null" if session is None else str(session).encode())


def _said(content_hash: bytes, session: bytes) -> bytes:
    return content_hash[:_HASH_CHARACTERS] + b" in " + session


def _event_at(tail: LogTail, start: int) -> events.Event | None:
    """The line that begins there; None if it is no event any more."""
    line = tail.read(start, min(_LINE_BYTES, tail.size - start))
    if b"\n" not in line:
        line = tail.read(start, min(events.LINE_BYTES_MAX, tail.size - start))
    try:
        found = json.loads(line.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _check_texts_are_the_same(found: events.Event, event: events.Event) -> None:
    said, wanted = found["data"], event["data"]
    if any(said.get(name) != wanted.get(name) for name in _TEXT_FIELDS):
        raise ValueError("idempotency_key names a correction of other texts: nothing was recorded")
