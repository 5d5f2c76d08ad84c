"""The records that writers append: mostly events of usual form, some of them every oddity that logs in the wild hold.

A record that holds `POISON` is refused by the middle-box of one fault. Ids never repeat but on purpose.
"""

from __future__ import annotations

import json
import random

POISON = b"poison"
OVER_LONG_BYTES = 40_000


class Records:
    """Makes records; `odd` is the share that is not of usual form."""

    def __init__(self, rng: random.Random, *, odd: float, large: float) -> None:
        self._rng = rng
        self._odd = odd
        self.large = large
        """How many of them are longer than a few hundred bytes."""
        self._made = 0
        self._before = b""

    @property
    def made(self) -> int:
        """How many there are."""
        return self._made

    def next(self) -> bytes:
        """One record, its newline included."""
        self._made += 1
        rng = self._rng
        if rng.random() < self._odd:
            record = self._oddity()
        else:
            size = rng.randrange(40, 400)
            if rng.random() < self.large:
                size = rng.choice((5_000, 12_000, OVER_LONG_BYTES))
            record = self._event(size)
        self._before = record
        return record

    def _event(self, size: int, event_id: str | None = None, text: str = "") -> bytes:
        event = {
            "type": "CORRECTION",
            "session": self._made,
            "data": {"category": "tone", "summary": text + "x" * size},
            "event_id": event_id or f"01{self._made:08d}{self._rng.getrandbits(64):016x}",
        }
        return json.dumps(event).encode() + b"\n"

    def _oddity(self) -> bytes:  # noqa: C901 -- a table
        number = self._made
        match self._rng.randrange(13):  # one line of a table each
            case 0:
                return b"\n"
            case 1:
                return b"\0" * self._rng.randrange(1, 50) + b"\n"
            case 2:
                return b'{"type": "half %d\n' % number
            case 3:
                return b"\xff\xfe %d\n" % number
            case 4:
                return b'{"type": "hook", "ts": %d.5}\r\n' % number
            case 5:
                return b'{"type": "number", "value": NaN, "n": %d}\n' % number
            case 6:
                return b"[%d]\n" % number
            case 7:
                return self._before or b"{}\n"
            case 8:
                return self._event(60, event_id=f"conflict-{number % 5}", text=str(number))
            case 9:
                return self._event(60, text=POISON.decode())
            case 10:
                return self._event(60, event_id="x" * 65)
            case 11:
                return b'{"type": "\\ud800", "n": %d}\n' % number
            case _:
                return b'{"type": "line\xe2\x80\xa8separator", "n": %d}\n' % number
