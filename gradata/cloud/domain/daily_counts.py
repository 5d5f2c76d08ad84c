"""How many events of each day: the small table that charts read.

Pure. The day is that of the event's own time, so that a backfill shows when corrections were made; where that says
nothing believable — none, garbage, later than now — it is the day of storing. Both in UTC, as ISO 8601 dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from gradata.cloud.domain.requests import Columns

_DATE = re.compile(r"(?:19|20)\d\d-\d\d-\d\d", re.ASCII)
_DATE_CHARACTERS = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


class DayKind(NamedTuple):
    """What is counted together. Category and severity are "" for events that have none."""

    day: str
    type: str
    category: str
    severity: str


def day_counts(columns: Columns, now: int) -> dict[DayKind, int]:
    """How many of the events in `columns` are of each day and kind. `now` in microseconds since 1970."""
    kinds = zip(_days(columns.timestamps, now), columns.types, columns.categories, columns.severities, strict=True)
    if len(columns.types) == 1:  # what most requests bring
        return {DayKind(day, kind, a or "", b or ""): 1 for day, kind, a, b in kinds}
    return {DayKind(day, kind, a or "", b or ""): count for (day, kind, a, b), count in Counter(kinds).items()}


def recounted(events: Iterable[tuple[int, str, str | None, str | None, str | None]]) -> Counter[DayKind]:
    """The counts of events that are stored, each as (stored_at, type, category, severity, ts)."""
    counts: Counter[DayKind] = Counter()
    for stored_at, kind, category, severity, ts in events:
        counts.update(day_counts(Columns((kind,), (category,), (severity,), (None,), (ts,)), stored_at))
    return counts


@lru_cache(maxsize=8)
def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()


def is_date(text: str) -> bool:
    """Whether this is a day of the calendar, in ISO 8601: 2026-11-31 is none."""
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _days(timestamps: Sequence[str | None], now: int) -> list[str]:
    today = _date(now // DAY_US)
    known: dict[str, str] = {"": today}
    days = []
    for timestamp in timestamps:
        said = (timestamp or "")[:_DATE_CHARACTERS]
        day = known.get(said)
        if day is None:
            day = known[said] = said if said <= today and is_date(said) else today
        days.append(day)
    return days
