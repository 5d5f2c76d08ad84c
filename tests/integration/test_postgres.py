"""The traps of PostgreSQL, each as a test: what went wrong on prototypes, and what goes wrong when it is away."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from gradata.cloud.domain.rate_limit import Rate
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.service.integrity import check
from gradata.cloud.store.open import open_store, shown
from gradata.cloud.store.port import Store
from gradata.cloud.store.postgres.connection import connect
from gradata.cloud.store.postgres.facts import gather
from gradata.cloud.store.postgres.migrate import migrate_url, newest
from gradata.cloud.store.reading import owner_of
from gradata.cloud.store.values import EventQuery, StoreError, StoreUnavailableError
from tests.support.cloud_batches import LOG, append, body, counted, event, lines, tree
from tests.support.patience import PATIENCE_S
from tests.support.postgres_fixture import Postgres

NOW = 1_764_000_000_000_000
BATCH = "application/vnd.gradata.batch"


def log_name(number: int) -> str:
    return f"{number:08d}-1111-4111-8111-111111111111"


def counts(store: Store, *requests: WriteRequest) -> list[tuple[int, int]]:
    return counted(store.ingest(requests, now=NOW))


def test_f31_writers_in_any_order_neither_deadlock_nor_miscount(stores: list[Store], postgres_url: str) -> None:
    """Four processes, the same eight brains in a different order each time, the same events: each accepted once."""
    chance = random.Random(7)
    plans = []
    for number, store in enumerate(stores):
        for step in range(12):
            brains = chance.sample(range(8), 8)
            shared = [event(f"shared {step % 3}-{place}") for place in range(5)]
            plans.append((store, [(brain, number * 100 + step, shared) for brain in brains]))

    def commit(plan: tuple[Store, list[tuple[int, int, list[bytes]]]]) -> int:
        store, parts = plan
        requests = [append(log, brain_id=f"brain {brain}", log_id=log_name(name)) for brain, name, log in parts]
        return sum(accepted for accepted, _ in counts(store, *requests))

    with ThreadPoolExecutor(4) as pool:
        accepted = sum(pool.map(commit, plans))
    assert accepted == 8 * 15
    assert all(report.sound for report in check(stores[0]))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        deadlocks = admin.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert deadlocks.fetchone() == (0,)


def test_brains_are_locked_in_the_order_of_their_names(stores: list[Store], postgres_url: str) -> None:
    """Whoever waits for the first holds no later one: so nobody waits in a circle."""
    for brain in "abc":
        counts(stores[0], append([event("x")], brain_id=brain))
    requests = [append([event("y")], brain_id=brain, log_id=log_name(1)) for brain in "cba"]
    with psycopg.connect(postgres_url) as holder, psycopg.connect(postgres_url, autocommit=True) as looker:
        lock = "SELECT FROM gradata.brains WHERE brain_id = ANY(%s) FOR UPDATE NOWAIT"
        holder.execute(lock, (["a"],))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(counts, stores[0], *requests)
            asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while looker.execute(asked).fetchone() != (1,):
                assert not waiting.done()
            holder.execute(lock, (["b", "c"],))
            holder.rollback()
            assert waiting.result() == [(1, 0)] * 3


def test_f31_one_batch_sent_to_every_process_at_once_is_stored_once(stores: list[Store]) -> None:
    """The head is read behind the lock, not with it: the others see what the first has written."""
    log = [event(str(number)) for number in range(200)]
    for first in range(0, 200, 10):
        begun = threading.Barrier(4)

        def send(store: Store, first: int = first, begun: threading.Barrier = begun) -> tuple[int, int]:
            begun.wait()
            return counts(store, append(log, first, first + 10))[0]

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(send, stores)) == [(0, 10)] * 3 + [(10, 0)]
    stored = stores[0].log("default", LOG)
    assert stored is not None
    assert stored.tree == tree(log)


def test_who_follows_the_cursor_misses_no_event(stores: list[Store]) -> None:
    """Places are given out under the brain's lock: nothing becomes visible behind a reader's back."""
    seen: list[str] = []
    finished = threading.Event()

    def follow() -> None:
        after = 0
        while True:
            last = finished.is_set()
            page = stores[0].events("default", EventQuery("brain", after=after, limit=50))
            seen.extend(found.event_id for found in page)
            after = page[-1].cursor if page else after
            if last and not page:
                return

    def write(number: int) -> None:
        log = [event(f"{number}-{step}") for step in range(60)]
        for first in range(60):
            counts(stores[number], append(log, first, first + 1, log_id=log_name(number)))

    reader = threading.Thread(target=follow)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    finished.set()
    reader.join()
    assert sorted(seen) == sorted(f"{number}-{step}" for number in range(4) for step in range(60))


def test_ids_are_probed_through_the_index_of_a_fresh_table(stores: list[Store], postgres_url: str) -> None:
    """Whatever the planner believes of a table that was never analysed: one probe for each id, none for those above."""
    counts(stores[0], append([event("c")]))
    looked = "SELECT relname, seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'gradata'"
    for names, probes in (([f"b{number}" for number in range(300)], 300), ([f"d{number}" for number in range(300)], 0)):
        with psycopg.connect(postgres_url) as connection:
            _, facts = gather(connection, [append([event(name) for name in (*names, "c")], log_id=log_name(1))])
            scans = {name: (whole, probed) for name, whole, probed in connection.execute(looked)}
            connection.rollback()
        assert facts.events == {"brain": {"c": lines(event("c")).contents[0]}}
        assert all(whole == 0 for whole, _ in scans.values())
        assert scans["events"] == (0, 1 + probes + 1)  # the greatest of the brain, each that is not above it, "c"


def test_nothing_outlives_a_transaction(stores: list[Store], postgres_url: str) -> None:
    """No prepared statement and no setting stays on a connection: a transaction pooler may give it to somebody else."""
    for number in range(20):
        counts(stores[0], append([event(str(number))], log_id=log_name(number)))
    connection = stores[0]._writer  # type: ignore[attr-defined]
    assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)
    connection.rollback()


def test_a_brain_that_was_refused_leaves_no_trace(stores: list[Store]) -> None:
    """A gap does not make the brain its sender's: the next workspace that really writes has it."""
    stores[0].ingest([append([event("a"), event("b")], 1)], now=NOW)
    assert owner_of(stores[0], "brain") is None
    assert counts(stores[1], append([event("a")], workspace="others")) == [(1, 0)]
    assert owner_of(stores[0], "brain") == "others"


def test_a_budget_is_shared_by_all_processes(stores: list[Store]) -> None:
    """40 requests through four processes at once, of 12 allowed: exactly 12 pass, and a refused one spends nothing."""
    rate = Rate(1, burst=10, slack=2)
    with ThreadPoolExecutor(4) as pool:
        asked = [store for store in stores for _ in range(5)]
        verdicts = [
            one for found in pool.map(lambda store: store.admit(["a", "a"], rate), asked) for one in found or ()
        ]
    passed = [verdict for verdict in verdicts if verdict.passed]
    assert (len(verdicts), len(passed)) == (40, 12)
    assert sorted(verdict.remaining for verdict in passed) == [0, 0, 0, *range(1, 10)]
    (refused, other) = stores[0].admit(["a", "b"], rate) or ()
    assert (refused.passed, other.passed, other.remaining) == (False, True, 9)
    assert 0 < refused.retry_after_s <= 60


def test_a_batch_larger_than_any_buffer_is_committed(stores: list[Store]) -> None:
    """8 MB in one statement: what the socket does not take at once is pushed on, so nobody waits for the other."""
    log = [event(str(number), "x" * 1_000_000) for number in range(8)]
    assert counts(stores[0], append(log)) == [(8, 0)]


def test_one_hint_for_each_transaction(stores: list[Store]) -> None:
    """Other processes hear which brains changed, after the commit; a listener that comes late is told to look."""
    heard: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    end = stores[1].listen(lambda brains: heard.put(sorted(brains)))
    assert heard.get(timeout=PATIENCE_S) == []
    counts(stores[0], *(append([event("a")], brain_id=f"brain {n}", log_id=log_name(n)) for n in range(3)))
    stores[0].rest()
    assert heard.get(timeout=PATIENCE_S) == ["brain 0", "brain 1", "brain 2"]
    counts(stores[0], append([event("a")], brain_id="brain 9"))
    stores[0].rest()
    assert heard.get(timeout=PATIENCE_S) == ["brain 9"]
    end()


def test_tiles_become_whole(stores: list[Store], postgres_url: str) -> None:
    """Parts are put together when a tile is full; the proof holds before and after."""
    log = [event(str(number)) for number in range(300)]
    for first in range(0, 300, 7):
        counts(stores[0], append(log, first, first + 7))
    assert all(report.sound for report in check(stores[0]))
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute('SELECT count(*) FROM gradata.tiles WHERE level = 0 AND "index" = 0').fetchone()
    assert rows == (1,)


def test_lost_rows_are_filled_in_again(stores: list[Store], postgres_url: str) -> None:
    """What storage lost in the middle comes back with a resend, proven by the leaf that is stored."""
    log = [event(str(number)) for number in range(20)]
    counts(stores[0], append(log))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DELETE FROM gradata.records WHERE number BETWEEN 5 AND 7")
        connection.execute("UPDATE gradata.records SET record = 'x' WHERE number = 9")
    assert not all(report.sound for report in check(stores[0]))
    assert counts(stores[1], append(log, 4, 12)) == [(0, 8)]
    assert all(report.sound for report in check(stores[0]))


def test_migrating_is_safe_at_any_time(postgres_url: str) -> None:
    """By four at once and again; partitions only at the beginning; a newer schema is left alone."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate_url(postgres_url), range(4)))
    assert sorted(one.before for one in done) == [0] + [newest()] * 3
    with pytest.raises(StoreError, match="exists already"):
        migrate_url(postgres_url, partitions=4)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("INSERT INTO gradata.migrations VALUES (99, 'of the future')")
    for wrong in (lambda: migrate_url(postgres_url), lambda: open_store(postgres_url)):
        with pytest.raises(StoreError, match="schema 99") as refused:
            wrong()
        assert "upgrade" in refused.value.hint


def test_an_older_store_is_upgraded_with_what_it_holds(postgres_url: str) -> None:
    """A store from before the functions is refused by who does not serve; a server brings it on and goes on."""
    log = [event(str(number)) for number in range(20)]
    store = open_store(postgres_url, serving=True)
    counts(store, append(log, 0, 10))
    store.close()
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for name in ("begin_group", "end_group", "hold_group", "fresh", "spend"):
            admin.execute(f"DROP FUNCTION gradata.{name}")
        admin.execute("DELETE FROM gradata.migrations WHERE number > 2")
    with pytest.raises(StoreError, match="old schema 2"):
        open_store(postgres_url)
    store = open_store(postgres_url, serving=True)
    try:
        assert counts(store, append(log, 5)) == [(10, 5)]
        assert all(report.sound for report in check(store))
    finally:
        store.close()


def test_a_password_is_not_shown() -> None:
    """Where the server says which store it has."""
    assert shown("postgresql://me:secret@db.example:5432/gradata?sslmode=require") == (
        "postgresql://db.example:5432/gradata"
    )
    with pytest.raises(StoreError) as refused:
        open_store("postgresql://me:secret@127.0.0.1:1/gradata")
    assert "secret" not in str(refused.value) + refused.value.hint


def test_f30_a_store_that_was_away_is_there_again_by_itself(own_postgres: Postgres) -> None:
    """Reads and writes say so at once while it is away; the first after its return work, on the same object."""
    store = open_store(own_postgres.url("postgres"), serving=True)
    try:
        log = [event(str(number)) for number in range(3)]
        assert counts(store, append(log, 0, 1)) == [(1, 0)]
        assert len(store.logs("default", "brain")) == 1
        own_postgres.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                store.ingest([append(log, 1, 2)], now=NOW)
            with pytest.raises(StoreUnavailableError):
                store.logs("default", "brain")
        store.rest()
        own_postgres.start()
        again = threading.Event()
        while not again.wait(0.05):
            try:
                assert counts(store, append(log, 1, 2)) == [(1, 0)]
                again.set()
            except StoreUnavailableError:
                continue
        own_postgres.restart()
        assert counts(store, append(log, 2, 3)) == [(1, 0)], "a connection that went stale is replaced unseen"
        assert all(report.sound for report in check(store))
    finally:
        store.close()


class Serving:
    """`gradata serve --workers 2` on a PostgreSQL store."""

    def __init__(self, url: str, home: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADATA_")}
        command = [sys.executable, "-W", "error", "-m", "gradata", "serve", "--port", "0", "--workers", "2", "--json"]
        self.process = subprocess.Popen(
            [*command, "--store", url], stdout=subprocess.PIPE, text=True, env=environment | {"HOME": str(home)}
        )
        assert self.process.stdout is not None
        started = json.loads(self.process.stdout.readline())
        self.url, self.key = started["url"], started["admin_key"]

    def workers(self) -> list[int]:
        """The processes below that serve."""
        found = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line]

    def end(self) -> int:
        self.process.terminate()
        status = self.process.wait(40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def deliver(serving: Serving, brain: str, log: list[bytes], answered: threading.Semaphore) -> list[int]:
    """Send the records one by one, as a client does: again until it is acknowledged. The statuses met."""
    met = []
    headers = {"Authorization": f"Bearer {serving.key}", "Content-Type": BATCH}
    with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
        for first in range(len(log)):
            content = body(log, first, first + 1, brain_id=brain)
            while True:
                try:
                    answer = client.post(serving.url + "/ingest", content=content, headers=headers)
                except httpx.TransportError:
                    continue
                met.append(answer.status_code)
                if answer.status_code == 200:
                    answered.release()
                    break
                threading.Event().wait(0.1)
    return met


def test_f33_a_rolling_restart_under_load_loses_no_request(postgres_url: str, tmp_path: Path) -> None:
    """SIGHUP replaces the workers, then one is killed: every request is answered 200 or cut off and sent again."""
    serving = Serving(postgres_url, tmp_path)
    try:
        logs = {f"brain {number}": [event(str(step)) for step in range(50)] for number in range(4)}
        answered = threading.Semaphore(0)
        with ThreadPoolExecutor(4) as pool:
            sent = [pool.submit(deliver, serving, brain, log, answered) for brain, log in logs.items()]
            for _ in range(20):
                answered.acquire()
            before = set(serving.workers())
            serving.process.send_signal(signal.SIGHUP)
            while before & (now := set(serving.workers())) or len(now) < 2:
                answered.acquire(timeout=0.05)
            os.kill(min(serving.workers()), signal.SIGKILL)
            statuses = {status for one in sent for status in one.result()}
        assert statuses <= {200, 429}
        store = open_store(postgres_url)
        try:
            assert all(report.sound for report in check(store))
            assert {brain: len(store.events("default", EventQuery(brain))) for brain in logs} == dict.fromkeys(logs, 50)
        finally:
            store.close()
        assert serving.end() in (0, -signal.SIGTERM)
    finally:
        serving.process.kill()
        serving.process.wait()


def test_f98_a_scrape_adds_up_what_every_worker_counted(postgres_url: str, tmp_path: Path) -> None:
    """Whichever worker is asked, the counters are those of all, of one that was killed included, and never go back."""
    serving = Serving(postgres_url, tmp_path)
    try:
        headers = {"Authorization": f"Bearer {serving.key}", "Connection": "close"}

        def scraped() -> float:
            with httpx.Client(trust_env=False, verify=False, timeout=30, headers=headers) as client:
                text = client.get(serving.url + "/metrics").text
            lines = [line for line in text.splitlines() if line.startswith('gradata_events_total{outcome="accepted"}')]
            return float(lines[0].split()[1])

        for number in range(8):  # each on a connection of its own: the workers share them
            with httpx.Client(trust_env=False, verify=False, timeout=30, headers=headers) as client:
                sent = body([event(f"e{number}")], brain_id=f"brain {number}")
                answer = client.post(serving.url + "/ingest", content=sent, headers={"Content-Type": BATCH})
                assert answer.status_code == 200
        assert {scraped() for _ in range(8)} == {8.0}
        os.kill(min(serving.workers()), signal.SIGKILL)
        while len(serving.workers()) < 2:
            assert scraped() == 8.0
    finally:
        serving.end()


def test_f30_the_server_says_when_its_store_is_away(own_postgres: Postgres, tmp_path: Path) -> None:
    """503 with Retry-After, not ready but healthy; after the database's return it is ready, and takes what waited."""
    serving = Serving(own_postgres.url("postgres"), tmp_path)
    try:
        headers = {"Authorization": f"Bearer {serving.key}", "Content-Type": BATCH}
        with httpx.Client(trust_env=False, verify=False, timeout=30, headers=headers) as client:
            assert client.post(serving.url + "/ingest", content=body([event("a")])).status_code == 200
            own_postgres.kill()
            refused = client.post(serving.url + "/ingest", content=body([event("a"), event("b")], 1))
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get(serving.url + "/ready").status_code == 503
            assert client.get(serving.url + "/health").status_code == 200
            own_postgres.start()
            while client.get(serving.url + "/ready").status_code != 200:
                pass
            answer = client.post(serving.url + "/ingest", content=body([event("a"), event("b")], 1))
            assert (answer.status_code, answer.json()["head"]["size"]) == (200, 2)
    finally:
        serving.end()


def test_workers_need_a_store_that_can_be_shared(tmp_path: Path) -> None:
    """SQLite has one server: more is wrong usage, said with what to do."""
    command = [sys.executable, "-m", "gradata", "serve", "--workers", "2", "--store", f"sqlite:{tmp_path}/cloud.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "postgresql://" in done.stderr) == (2, True)


def test_the_store_is_migrated_by_a_command(postgres_url: str) -> None:
    """Says from what to what; nothing to do the second time; keys can be made before any server ran."""
    command = [sys.executable, "-m", "gradata", "store", "migrate", "--store", postgres_url, "--json"]
    said = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(2)]
    assert said == [{"from": 0, "to": newest()}, {"from": newest(), "to": newest()}]
    store = open_store(postgres_url)
    try:
        assert create_key(store, "agent", ["ingest"]).startswith("gk_live_")
        assert counts(store, append([event("a")])) == [(1, 0)]
    finally:
        store.close()


def test_a_connection_that_listens_outlives_the_deadline_of_exchanges(postgres_url: str) -> None:
    """To wait for a notification is no exchange that hangs: the connection stays, and hears what comes later."""
    with connect(postgres_url) as listener, connect(postgres_url) as teller:
        listener.answer_s = 0.2
        listener.execute("LISTEN waited_for")
        assert list(listener.notifies(timeout=1.0)) == []
        teller.execute("NOTIFY waited_for, 'now'")
        assert [each.payload for each in listener.notifies(timeout=PATIENCE_S, stop_after=1)] == ["now"]
