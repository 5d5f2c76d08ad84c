"""Rate limits shared by all processes: the generic cell rate algorithm of `domain.rate_limit.Rate`, as one upsert.

One row per name, in an unlogged table, by the database's clock. A process checks all requests of a group with one call
of `gradata.spend` (schema/postgres/0004_feeds.sql), in a transaction of its own that locks the rows in the order of
their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gradata.cloud.domain.rate_limit import WINDOW_S, Rate, RateVerdict
from gradata.cloud.store.postgres.connection import Connection

FORGET_S = 600.0
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_SPEND = """
SELECT name, start, passed, now_us
  FROM gradata.spend(names => %b::text[], wanted => %b::int[], "interval" => %b::bigint, room => %b::int)
"""
_FORGET = f"""
DELETE FROM gradata.rates WHERE name IN (
    SELECT name FROM gradata.rates WHERE busy_until < {_NOW} - {WINDOW_S * 1_000_000} FOR UPDATE SKIP LOCKED)
"""


def spend(connection: Connection, wanted: Counter[str], names: Sequence[str], rate: Rate) -> list[RateVerdict]:
    """Count one request for each of `names`, which `wanted` counts; a verdict for each, in their order."""
    interval = round(WINDOW_S * 1_000_000 / rate.per_minute)
    arguments = (list(wanted), list(wanted.values()), interval, rate.burst + rate.slack)
    verdicts: dict[str, list[RateVerdict]] = {}
    for name, start, passed, now in connection.execute(_SPEND, arguments, binary=True):
        busy_s = max(start - now, 0) / 1e6
        made = verdicts[name] = []
        for place in range(wanted[name]):
            verdict = rate.judge(busy_s, 0.0)
            went = place < passed
            busy_s += interval / 1e6 * went
            made.append(RateVerdict(went, verdict.remaining, verdict.fresh_in_s, verdict.retry_after_s, busy_s))
        made.reverse()
    return [verdicts[name].pop() for name in names]


def forget_rates(connection: Connection) -> None:
    """Drop the names that have been idle: they have their whole budget again."""
    connection.execute(_FORGET)
