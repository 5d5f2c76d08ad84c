"""Dead letters: list them, resend one, drop some. Their bytes stay in the log.

Works with and without a live replicator. Nothing here changes the log or the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable

from replicator import actions as act
from replicator.errors import CursorError
from replicator.log import LogReader
from replicator.model import MIB, Batch
from replicator.proof import leaf_hashes
from replicator.recovery.reset import standing
from replicator.sidecar import DEAD_LETTERS_READ_MAX, KeptDeadLetter, Sidecar, read_only, sidecar_path
from replicator.sink import Sink
from replicator.wire import Report

RETRY_RECORD_BYTES_MAX = 64 * MIB
"""A dead letter longer than this is never read back into memory for a retry."""
DEAD_LETTERS_SHOWN_MAX = 100_000
"""At most so many dead letters are listed."""


def dead_letters(log_path: str) -> list[KeptDeadLetter]:
    """The records of this log that were rejected for good, oldest first, at most DEAD_LETTERS_SHOWN_MAX.

    Each has an `id`, the time `at` (ISO 8601, UTC), and as `letter` its place in the log with code and detail of the
    rejection. SidecarError if the sidecar cannot be read; an empty list if there is none yet.
    """
    view = read_only(sidecar_path(log_path))
    if view is None:
        return []
    found: list[KeptDeadLetter] = []
    try:
        while page := view.dead_letters(after=found[-1].id if found else 0):
            found.extend(page)
            if len(page) < DEAD_LETTERS_READ_MAX or len(found) >= DEAD_LETTERS_SHOWN_MAX:
                break
    finally:
        view.close()
    return found


def retry_dead_letter(log_path: str, kept: KeptDeadLetter, sink: Sink) -> act.SendOutcome:
    """Resend the bytes of one dead letter to the place that the cloud keeps for them.

    An accepted one is removed from the list. Returns the cloud's outcome; CursorError if the log no longer has the
    record. Safe to repeat, and beside a live replicator: the cloud fills a place only if the hash is its leaf.
    """
    letter = kept.letter
    here = standing(log_path)
    if here is None or here.cursor.log_id != letter.log_id:
        raise CursorError(
            f"dead letter {kept.id} belongs to an earlier generation of the log",
            hint="its record is gone from here; drop the dead letter",
            code="letter_of_earlier_generation",
        )
    reader = LogReader(log_path)
    there = reader.locate(log_id=letter.log_id, offset=letter.offset)
    found = reader.read(act.Read(there, RETRY_RECORD_BYTES_MAX, 1, RETRY_RECORD_BYTES_MAX))
    if not isinstance(found, act.Found) or not isinstance(found.load, Batch) or len(found.load.data) != letter.length:
        raise CursorError(
            f"the record of dead letter {kept.id} cannot be read from the log as it was",
            hint="drop the dead letter",
            code="letter_unreadable",
        )
    report = Report("live", reader.end(), 0, None, 1, "unknown")
    after = there.tree.extended(leaf_hashes(found.load.views()))
    outcome = sink.send(act.Send(there, found.load, after, here.cloud_id), report)
    if isinstance(outcome, act.Acked) and not outcome.refused_count:
        drop_dead_letters(log_path, [kept.id])
    return outcome


def drop_dead_letters(log_path: str, ids: Iterable[int]) -> int:
    """Drop these dead letters from the list; their bytes stay in the log. Returns how many there were.

    SidecarError if the sidecar cannot be written. Safe to repeat.
    """
    sidecar = Sidecar.open(sidecar_path(log_path), may_set_aside=False)
    try:
        return sidecar.drop_dead_letters(ids)
    finally:
        sidecar.close()
