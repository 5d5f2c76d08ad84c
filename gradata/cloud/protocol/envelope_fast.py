"""Read the envelope of a batch in the form in which clients send it, in a fifth of the time.

Pure. `replicator.wire` reads it field by field and can say what is wrong with each; here it is decoded in one go by
its types, and whatever does not fit, an unknown field included, is None: for `wire` to read, and to judge.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import orjson
from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from replicator.proof import HASH_BYTES
from replicator.wire.common import (
    INTEGER_MAX,
    NAME_CHARACTERS_MAX,
    PLAIN_CHARACTERS_MAX,
    SCHEMA,
    Report,
    is_uuid,
    report_json,
)

LOGS_REMEMBERED = 4_096

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
_Uuid = Annotated[str, Meta(min_length=36, max_length=36)]
_Hash = Annotated[str, Meta(min_length=2 * HASH_BYTES, max_length=2 * HASH_BYTES)]
_Number = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
_Count = Annotated[int, Meta(ge=1, le=INTEGER_MAX)]
_Text = Annotated[str, Meta(max_length=PLAIN_CHARACTERS_MAX)]


class _Status(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """In the order of `report_json`."""

    state: _Name
    log_bytes: _Number
    backlog_bytes: _Number
    last_event_at: _Text | None = None
    dead_letters: _Number
    version: _Name
    trouble: _Text | None = None
    last_ack_at: _Text | None = None


class QuickEnvelope(Struct, gc=False, forbid_unknown_fields=True):
    """An envelope whose every field is checked as `wire.parse_batch` does; `root`, in hex, by `root_bytes`."""

    schema: Literal[SCHEMA]  # type: ignore[valid-type]  # a constant
    brain_id: _Name
    device_id: _Name
    log_id: _Uuid
    first: _Number
    offset: _Number
    root: _Hash
    count: _Count
    cloud_id: _Name | None = None
    parent: _Uuid | None = None
    status: _Status | None = None

    def root_bytes(self) -> bytes | None:
        """`root` if it is in lower-case hex."""
        try:
            root = bytes.fromhex(self.root)
        except ValueError:
            return None
        return root if root.hex() == self.root else None

    def report(self) -> bytes | None:
        """The status as it is kept."""
        said = self.status
        if said is None:
            return None
        if ((said.last_event_at or "") + (said.trouble or "") + (said.last_ack_at or "")).isprintable():
            return _encode(said)
        report = Report(
            said.state,
            said.log_bytes,
            said.backlog_bytes,
            said.last_event_at,
            said.dead_letters,
            said.version,
            said.trouble,
            said.last_ack_at,
        )
        return orjson.dumps(report_json(report))


_decode = Decoder(QuickEnvelope).decode
_encode = Encoder().encode
_is_uuid = lru_cache(maxsize=LOGS_REMEMBERED)(is_uuid)


def quick_envelope(line: bytes) -> QuickEnvelope | None:
    """The envelope on this line; None if it is not of the plainest form, or wrong."""
    if not line.isascii():  # what is skipped is not checked to be UTF-8
        return None
    try:
        said = _decode(line)
    except (DecodeError, ValidationError, RecursionError):
        return None
    names = said.brain_id + said.device_id + (said.cloud_id or "")
    if said.status is not None:
        names += said.status.state + said.status.version
    if not names.isprintable() or (said.first == 0) != (said.offset == 0) or said.offset < said.first:
        return None
    if not _is_uuid(said.log_id) or (said.parent is not None and not _is_uuid(said.parent)):
        return None
    return said if said.first + said.count <= INTEGER_MAX else None
