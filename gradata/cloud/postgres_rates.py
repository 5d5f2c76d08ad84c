"""Request budgets that all processes share: the generic cell rate algorithm of `limits.Rate`, as one upsert.

One row a name, in an unlogged table, by the database's clock. A process asks for all the requests of a group in one
statement, which takes the rows in the order of their names and lets them go at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gradata.cloud.limits import WINDOW_S, Rate, Verdict
from gradata.cloud.postgres_arrays import Ints, Texts
from gradata.cloud.postgres_facts import Connection

FORGET_S = 600.0
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
# `passed`: how many of those asked for. In the row that was there, `excluded` tells now, and how many are wanted.
_SPEND = f"""
INSERT INTO gradata.rates AS r (name, busy_until, passed)
SELECT w.name, t.now + least(w.wanted, %(room)s) * %(interval)s::bigint, least(w.wanted, %(room)s)
  FROM unnest(%(names)s, %(wanted)s) AS w(name, wanted), (SELECT {_NOW} AS now) t
 ORDER BY w.name COLLATE "C"
ON CONFLICT (name) DO UPDATE SET (busy_until, passed) = (
    SELECT start + k * %(interval)s, k
      FROM (SELECT excluded.busy_until - excluded.passed * %(interval)s::bigint AS now) a,
           LATERAL (SELECT greatest(r.busy_until, now) AS start) b,
           LATERAL (SELECT greatest(0, least(excluded.passed,
                                             %(room)s - (start - now + %(interval)s - 1) / %(interval)s))::int AS k) c)
RETURNING name, busy_until - passed * %(interval)s::bigint, passed, {_NOW}
"""
_FORGET = f"""
DELETE FROM gradata.rates WHERE name IN (
    SELECT name FROM gradata.rates WHERE busy_until < {_NOW} - {WINDOW_S * 1_000_000} FOR UPDATE SKIP LOCKED)
"""


def spend(connection: Connection, wanted: Counter[str], names: Sequence[str], rate: Rate) -> list[Verdict]:
    """Count one request for each of `names`, which `wanted` counts; a verdict for each, in their order."""
    interval = round(WINDOW_S * 1_000_000 / rate.per_minute)
    with connection.pipeline():
        rows = connection.execute(
            _SPEND,
            {
                "names": Texts(wanted),
                "wanted": Ints(list(wanted.values())),
                "interval": interval,
                "room": rate.burst + rate.slack,
            },
            binary=True,
        )
        connection.commit()
    verdicts: dict[str, list[Verdict]] = {}
    for name, start, passed, now in rows:
        busy_s = max(start - now, 0) / 1e6
        made = verdicts[name] = []
        for place in range(wanted[name]):
            verdict = rate.judge(busy_s, 0.0)
            went = place < passed
            busy_s += interval / 1e6 * went
            made.append(replace(verdict, passed=went, busy_until=busy_s))
        made.reverse()
    return [verdicts[name].pop() for name in names]


def forget_rates(connection: Connection) -> None:
    """Drop the names that have been idle: they have their whole budget again."""
    connection.execute(_FORGET)
