"""Counts of events per day: the small table behind the charts.

Pure. The day is that of the event's own timestamp, so that a backfill shows when corrections were made. If that is
missing, invalid or in the future, it is the day of storing. Days are ISO 8601 dates in UTC.
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
    """The key of a count. Category and severity are "" for events without them."""

    day: str
    type: str
    category: str
    severity: str


def day_counts(columns: Columns, now: int) -> dict[DayKind, int]:
    """Counts of the events in `columns` by day and kind. `now` in microseconds since 1970."""
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
    """Whether this is an existing ISO 8601 date: 2026-11-31 is not."""
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
