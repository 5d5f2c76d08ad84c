"""Ask a running cloud what its own document says it can be asked: `python -m tests.campaigns openapi --cases 2000`.

Schemathesis makes the requests, of its document and against it. Whatever comes: no 5xx, no status and no media type
that the document does not have. A part of the requests is aimed at a brain, a log and events that are there, with keys
of each kind: made-up names alone would see little but 403 and 404. `--postgres` does it on a PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.cloud_batches import BATCH, body, event
from tests.support.cloud_fixture import LiveCloud
from tests.support.postgres_fixture import Postgres

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BRAIN = "brain"
LOG = "11111111-1111-4111-8111-111111111111"
ANSWER_S = 30.0


@dataclass
class Found:
    """What came back. `wrong`: what the document does not allow."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Asking:
    """Asks one cloud."""

    def __init__(self, cloud: LiveCloud) -> None:
        self.cloud = cloud
        self.root = cloud.url.removesuffix("/api/v1")
        self.keys = [cloud.admin_key, cloud.key, cloud.make_key("read"), "gk_live_nobodys1_" + "x" * 43]
        self.client = httpx.Client(trust_env=False, verify=False, timeout=ANSWER_S)
        self.found = Found()
        self.cases = 0

    def fill(self) -> None:
        """A brain with a log and events, among them what is odd."""
        log = [event(f"e{number}") for number in range(300)] + [b"\n", b"\xff\n", event("e1", "other")]
        made = body(log, brain_id=BRAIN, log_id=LOG)
        headers = {"Authorization": f"Bearer {self.cloud.key}", "Content-Type": "application/vnd.gradata.batch"}
        assert self.client.post(f"{self.cloud.url}/ingest", content=made, headers=headers).status_code == 200

    def ask(self, case: Any) -> None:
        """One request; what is wrong with its answer is kept."""
        number = self.cases
        self.cases += 1
        self._aim(case, number)
        sendable = {name: value for name, value in (case.headers or {}).items() if value.isprintable()}
        case.headers = sendable | {"Authorization": f"Bearer {self.keys[number % 7 % 4]}"}
        name = f"{case.method} {case.path}"
        if case.path.endswith("/feed"):
            self._feed(case, name)
            return
        try:
            answer = case.call(base_url=self.root, timeout=ANSWER_S)
            self.found.answers[name, answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)
        except (schemathesis.errors.SchemathesisError, *_failures()) as error:
            self.found.wrong.append(f"{name}: {error}")

    def _aim(self, case: Any, number: int) -> None:
        """Every other request is for what is there."""
        if number % 2:
            return
        query = dict(case.query or {})
        for parameter in ("brain", "brain_id"):
            if parameter in query:
                query[parameter] = "victim" if case.method == "DELETE" else BRAIN
        if "event" in query and number % 4:
            query["event"] = f"e{number % 300}"
            query.pop("log", None)
            query.pop("record", None)
        case.query = query
        if "log_id" in (case.path_parameters or {}):
            case.path_parameters = {**case.path_parameters, "log_id": LOG}
        if case.media_type == BATCH and number % 4:  # what is binary in the document is nothing but noise otherwise
            log = [event(f"n{number}"), b"\xff\n"]
            case.body = body(log, brain_id=BRAIN, log_id=str(uuid.UUID(int=number)))
        if isinstance(case.body, dict) and number % 4:
            case.body |= {name: BRAIN for name in ("brain_id", "brain_name") if name in case.body}

    def _feed(self, case: Any, name: str) -> None:
        """A feed never ends: its head is enough."""
        sent = case.as_transport_kwargs(base_url=self.root)
        with self.client.stream("GET", sent["url"], params=sent.get("params"), headers=dict(sent["headers"])) as answer:
            status = answer.status_code
        self.found.answers[name, status] += 1
        if str(status) not in case.operation.definition.raw["responses"]:
            self.found.wrong.append(f"{name}: undocumented status {status}")


def _failures() -> tuple[type[BaseException], ...]:
    from schemathesis.core.failures import Failure, FailureGroup

    return Failure, FailureGroup


def run(cases: int, store: str | None, seed: int) -> Found:
    """Ask `cases` questions, the same number of every operation."""
    with tempfile.TemporaryDirectory() as directory:
        cloud = LiveCloud(Path(directory), {"limits": {"requests_per_minute": None}}, store)
        try:
            asking = Asking(cloud)
            asking.fill()
            document = httpx.get(f"{cloud.url}/openapi.json", trust_env=False).json()
            operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
            each = -(-cases * 8 // (7 * len(operations)))  # a few operations have fewer different requests than that
            for operation in operations:
                _ask_of(operation, asking, each, seed)
            assert cloud.alive, f"the server ended: {cloud.said}"
            return asking.found
        finally:
            cloud.close()


def _ask_of(operation: Any, asking: Asking, each: int, seed: int) -> None:
    for mode, part in (("positive", each - each // 3), ("negative", each // 3)):
        strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))
        asked = 0

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=part,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=strategy)
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            asking.ask(case)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:  # nothing can be sent that the document does not allow
            continue


def main() -> int:
    """Print what came back; 1 if anything of it is not in the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gradata-pg-", ignore_cleanup_errors=True) as directory:
        server = Postgres(Path(directory)) if chosen.postgres else None
        try:
            found = run(chosen.cases, None if server is None else server.url("postgres"), chosen.seed)
        finally:
            if server is not None:
                server.close()
    for (name, status), count in sorted(found.answers.items()):
        print(f"{count:6} {status} {name}")
    print(f"{sum(found.answers.values())} cases, {len(found.wrong)} wrong")
    for words in found.wrong[:20]:
        print(words)
    return 1 if found.wrong else 0
