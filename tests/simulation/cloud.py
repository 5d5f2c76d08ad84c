"""The cloud's process: the real wire codec, request parser, ingest plan and SQLite store, without sockets.

Requests that come within a moment are committed together, as the real writing thread does it. What befalls clouds
is here too: death before, in or after a commit, restored backups, loss of everything, loss of single rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gradata.cloud.domain.plan import Append, Decision, WriteRequest
from gradata.cloud.domain.principal import Principal, Unknown
from gradata.cloud.domain.rate_limit import Rate, RateLimiter
from gradata.cloud.protocol import answers, parse
from gradata.cloud.service.api_keys import WORKSPACE, Authenticator
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import StoredKey, StoreUnavailableError
from replicator import wire
from replicator.errors import WireError
from replicator.model import Head, Limits
from replicator.wire import LogEntry

from .clock import Clock

LIMITS = Limits(body_bytes=256 * 1024, record_bytes=32 * 1024, records=500, requests_per_minute=600)
GROUP_S = 0.002
BACKUPS_MAX = 4

Reply = Callable[["Answered | None"], None]
"""Called once with the answer; None: the connection broke."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Watcher(Protocol):
    """Who is told what a cloud commits and loses (`oracle`)."""

    def committed(self, cloud: CloudProcess, request: Append, decision: Decision) -> None: ...
    def rolled_back(self, cloud: CloudProcess, heads: Mapping[str, int]) -> None: ...


class SimStore(SqliteStore):
    """The real store in memory, with a name of our choice, whose transactions can be cut short."""

    def __init__(self, cloud_id: str) -> None:
        super().__init__(None, record_bytes=LIMITS.record_bytes)
        self.fate: str | None = None
        """What befalls the next commit: `dies`, or `fails:N` after about N steps of SQLite's machine."""
        self._now: str | None = None
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'cloud_id'", (cloud_id,))
        self._cloud_id = cloud_id

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        self._now, self.fate = self.fate, None
        try:
            return super().ingest(requests, now=now)
        finally:
            self._now = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        fate = self._now or ""
        with super()._transaction() as connection:
            if fate.startswith("fails:"):
                connection.set_progress_handler(lambda: 1, int(fate[6:]))
            try:
                yield connection
            finally:
                connection.set_progress_handler(None, 0)
            if fate == "dies":
                raise Died

    def dump(self) -> bytes:
        """Everything, as a backup takes it."""
        return self._connection.serialize()

    def restore(self, backup: bytes) -> None:
        """Everything as it was. By a second connection: `deserialize` under prepared statements crashes old SQLites."""
        with contextlib.closing(sqlite3.connect(":memory:")) as source:
            source.deserialize(backup)
            source.backup(self._connection)
        self._known.forget()
        self._cloud_id = str(self._connection.execute("SELECT value FROM meta WHERE name = 'cloud_id'").fetchone()[0])


class Died(BaseException):
    """A process ended here."""


@dataclass(slots=True)
class _Waiting:
    work: WriteRequest
    reply: Reply


class CloudProcess:
    """One cloud. `counts` is what it saw, for the figures."""

    def __init__(self, name: str, clock: Clock, rng: random.Random, watcher: Watcher) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.up = True
        self.backups: list[tuple[bytes, dict[str, int]]] = []
        self.falls_over_after = 0
        """After so many batches more the last backup takes over; 0: it does not."""
        self._clock = clock
        self._rng = rng
        self._watcher = watcher
        self._lives = 0
        self._queue: list[_Waiting] = []
        self._keys: dict[str, StoredKey] = {}
        self.store = SimStore(self._new_name())
        self._start()

    def _new_name(self) -> str:
        self._lives += 1
        return f"{self.name}-{self._lives}"

    def _start(self) -> None:
        """A process that begins: nothing of its memory is left."""
        self.up = True
        self._authenticator = Authenticator(
            self.store, clock=lambda: self._clock.now_s, wall_us=lambda: self._clock.wall_us
        )
        rate = Rate(LIMITS.requests_per_minute or 600, burst=10, slack=20)
        self._requests = RateLimiter(rate, clock=lambda: self._clock.now_s)
        self._beats = RateLimiter(Rate(4, burst=4, slack=4), clock=lambda: self._clock.now_s)

    # ------------------------------------------------------------------------------ requests

    def receive(self, request: wire.Request, key: str, reply: Reply) -> None:
        """A request came in; `reply` is called when its fate is known."""
        if not self.up:
            reply(None)
            return
        try:
            answer = self._received(request, key, reply)
        except WireError as error:
            answer = answers.wire_problem(error, LIMITS)
        except answers.DeniedError as error:
            answer = answers.problem(403, error.code, str(error))
        if answer is not None:
            self._answer(reply, answer)

    def _received(self, request: wire.Request, key: str, reply: Reply) -> answers.Answer | None:
        principal = self._authenticator.principal(f"Bearer {key}")
        if isinstance(principal, Unknown):
            raise WireError("the API key is unknown or was revoked", status=401, code="key_unknown")
        body = request.head + request.data
        work: WriteRequest
        if request.path == "/ingest":
            work = parse.read_batch(principal, body, LIMITS)
            verdict = self._requests.admit(work.brain_id)
        elif request.path == "/heartbeat":
            work = parse.read_beat(principal, body)
            verdict = self._beats.admit(f"{work.brain_id}\n{work.device_id}\n{work.log_id}")
        else:
            return self._logs(principal, request.path)
        if verdict is not None and not verdict.passed:
            self.counts["429"] += 1
            headers = {"Retry-After": str(max(1, round(verdict.retry_after_s + 0.5)))}
            return answers.problem(429, "rate_limited", "the brain's request budget is spent", headers=headers)
        if not self._queue:
            self._clock.after(GROUP_S, self._commit)
        self._queue.append(_Waiting(work, reply))
        return None

    def _logs(self, principal: Principal, path: str) -> answers.Answer:
        brain_id = path.partition("brain=")[2].partition("&")[0]
        device_id = path.partition("device=")[2]
        entries = [
            LogEntry(Head(log.log_id, log.tree.size, log.tree.root, log.offset, log.event_id), log.device_id)
            for log in self.store.logs(principal.workspace, brain_id, device_id)
        ]
        return answers.Answer(200, wire.logs_body(entries))

    def _commit(self) -> None:
        """One transaction for everything that waits; a log's second batch waits for the next one."""
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        logs: set[str] = set()
        for waiting in self._queue:
            log_id = getattr(waiting.work, "log_id", "")
            (later if log_id in logs else group).append(waiting)
            logs.add(log_id)
        self._queue = later
        if later:
            self._clock.after(GROUP_S, self._commit)
        if not group:
            return
        self.counts["group of several"] += len(group) > 1
        after_commit = self.store.fate == "dies after"
        if after_commit:
            self.store.fate = None
        try:
            decisions = self.store.ingest([waiting.work for waiting in group], now=self._clock.wall_us)
        except Died:
            self.die([*group, *self._queue])
            return
        except StoreUnavailableError as error:
            self.counts["transaction failed"] += 1
            answer = answers.problem(503, "store_unavailable", str(error), headers={"Retry-After": "2"})
            for waiting in group:
                self._answer(waiting.reply, answer)
            return
        for waiting, decision in zip(group, decisions, strict=True):
            if isinstance(waiting.work, Append):
                self._watcher.committed(self, waiting.work, decision)
        if after_commit:
            self.die([*group, *self._queue])
            return
        for waiting, decision in zip(group, decisions, strict=True):
            self._answer(waiting.reply, self._decided(waiting.work, decision))
        self._fall_over(sum(isinstance(waiting.work, Append) for waiting in group))

    def _decided(self, work: WriteRequest, decision: Decision) -> answers.Answer:
        if isinstance(work, Append):
            return answers.answer_batch(work, decision, self.store.cloud_id, LIMITS)
        return answers.answer_beat(work, decision, self.store.cloud_id)

    def _answer(self, reply: Reply, answer: answers.Answer) -> None:
        self.counts[str(answer.status)] += 1
        reply(Answered(answer.status, {"Content-Type": answer.media_type, **answer.headers}, answer.body))

    # ------------------------------------------------------------------------------ what befalls clouds

    def die(self, waiting: list[_Waiting] | None = None) -> None:
        """The process ends; whoever waits sees the connection break. What was committed is there."""
        self.up = False
        broken, self._queue = self._queue if waiting is None else waiting, []
        for one in broken:
            one.reply(None)

    def rise(self) -> None:
        """The process starts again."""
        if not self.up:
            self._start()

    def _fall_over(self, batches: int) -> None:
        if self.falls_over_after and batches:
            self.falls_over_after = max(0, self.falls_over_after - batches)
            if not self.falls_over_after:
                self.restore(self.backups[-1])
                self.counts["standby took over"] += 1

    def heads(self) -> dict[str, int]:
        """The size of each log."""
        rows = self.store._connection.execute("SELECT log_id, size FROM logs ORDER BY log_id")
        return dict(rows.fetchall())

    def back_up(self) -> None:
        """Take a backup; only the last few are kept."""
        self.backups = [*self.backups[1 - BACKUPS_MAX :], (self.store.dump(), self.heads())]

    def restore(self, of: tuple[bytes, dict[str, int]] | None = None) -> None:
        """The machine burnt down; a backup is restored. Keys are kept elsewhere and put back."""
        self.die()
        self.falls_over_after = 0
        backup, heads = of or self._rng.choice(self.backups)
        self.store.restore(backup)
        self._watcher.rolled_back(self, heads)
        self._put_keys()
        self._start()

    def lose_everything(self) -> None:
        """A new, empty cloud at the same address, which takes the same keys."""
        self.die()
        self.store.close()
        self.store = SimStore(self._new_name())
        self._watcher.rolled_back(self, {})
        self._put_keys()
        self._start()

    def lose_rows(self, count: int) -> list[tuple[str, int]]:
        """Some rows vanish, or are damaged, behind everybody's back."""
        connection = self.store._connection
        rows = connection.execute(
            "SELECT r.place, l.log_id FROM records r JOIN logs l ON l.log_key = r.place >> 40"
            " WHERE r.record IS NOT NULL ORDER BY r.place"
        ).fetchall()
        lost = []
        for place, log_id in self._rng.sample(rows, min(count, len(rows))):
            if self._rng.random() < 0.5:
                connection.execute("DELETE FROM records WHERE place = ?", (place,))
            else:
                connection.execute(
                    "UPDATE records SET record = CAST(x'01' || substr(record, 2) AS BLOB) WHERE place = ?", (place,)
                )
            lost.append((log_id, place & ((1 << 40) - 1)))
        return lost

    # ------------------------------------------------------------------------------ keys

    def make_key(self) -> str:
        """A new key, good for everything."""
        number = len(self._keys)
        prefix = f"gk_live_{self._rng.getrandbits(32):08x}"
        secret = f"{prefix}_{self._rng.getrandbits(172):043x}"
        key = StoredKey(
            prefix, f"key {number}", WORKSPACE, frozenset({"ingest", "read"}), hashlib.sha256(secret.encode()).digest()
        )
        self._keys[secret] = key
        self.store.put_key(key)
        return secret

    def revoke(self, secret: str) -> None:
        """From now on the key is worth nothing."""
        key = self._keys[secret] = replace(self._keys[secret], revoked_at=0)
        self.store.put_key(replace(key, revoked_at=0))

    def _put_keys(self) -> None:
        self.store._connection.execute("DELETE FROM keys")
        for key in self._keys.values():
            self.store.put_key(key)
