"""What a running cloud answers: each row of the protocol's tables, and that neighbours are stored."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest

from replicator.proof import leaf_hash
from tests.support.cloud_batches import OTHER_LOG, event, tree
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud
from tests.support.packing import zstd

LOG = [event("a"), event("b"), event("c")]
NDJSON = "application/x-ndjson"
JSON = "application/json"


@pytest.fixture
def agent(shared_cloud: LiveCloud) -> Agent:
    """A brain of its own."""
    return Agent(shared_cloud)


def head(agent: Agent) -> dict[str, object]:
    answer = agent.ask("GET", f"/logs/{agent.log_id}").json()
    assert isinstance(answer, dict)
    return answer


def test_a_batch_is_acknowledged_with_the_head(agent: Agent) -> None:
    """200 names cloud, head, exact counts and limits; the log is then read back byte for byte."""
    answer = agent.send(LOG).json()
    assert answer["head"] == {
        "log_id": agent.log_id,
        "size": 3,
        "offset": len(b"".join(LOG)),
        "root": tree(LOG).root.hex(),
        "event_id": "c",
    }
    assert (answer["accepted"], answer["duplicates"], answer["flagged"], answer["refused"]) == (3, 0, [], [])
    assert (answer["limits"]["record_bytes"], answer["limits"]["encodings"]) == (1024 * 1024, ["zstd", "gzip"])
    assert answer["cloud_id"]
    assert agent.replica().content == b"".join(LOG)


def test_f31_a_resend_is_a_duplicate(agent: Agent) -> None:
    """The same request again, and one inside the log: duplicates, the same head, each event once."""
    first = agent.send(LOG).json()
    again = agent.send(LOG).json()
    inside = agent.send(LOG, 1, 2).json()
    assert (again["accepted"], again["duplicates"], again["head"]) == (0, 3, first["head"])
    assert (inside["duplicates"], inside["head"]) == (1, first["head"])
    assert [item["event_id"] for item in agent.events()] == ["a", "b", "c"]


def test_f39_a_batch_beyond_the_head_is_a_gap(agent: Agent) -> None:
    """409 with the head and the cloud's id; for an unknown log the head of nothing."""
    unknown = agent.send(LOG, 1)
    assert problem(unknown) == (409, "gap")
    assert (unknown.json()["head"]["size"], unknown.json()["head"]["log_id"]) == (0, agent.log_id)
    agent.send(LOG, 0, 1)
    behind = agent.send(LOG, 2)
    assert problem(behind) == (409, "gap")
    assert (behind.json()["head"]["size"], behind.json()["head"]["root"]) == (1, tree(LOG[:1]).root.hex())
    assert behind.json()["cloud_id"]


def test_f39_another_history_has_diverged(agent: Agent) -> None:
    """409 with head and, where it is known, the first record that differs; nothing is written."""
    agent.send(LOG, 0, 2)
    other = [LOG[0], event("B"), event("C")]
    overlap, at_head = agent.send(other), agent.send(other, 2)
    assert (problem(overlap), overlap.json()["record"]) == ((409, "diverged"), 1)
    assert (problem(at_head), at_head.json().get("record")) == ((409, "diverged"), None)
    assert at_head.json()["head"]["size"] == 2
    assert agent.replica().content == b"".join(LOG[:2])


def test_f39_a_new_generation_drops_nothing_and_stores_events_once(agent: Agent) -> None:
    """Another log_id with a parent begins at 0: its records are all kept, its events were there."""
    agent.send(LOG)
    child = Agent(agent.cloud, brain=agent.brain)
    answer = child.send([*LOG, event("d")], parent=agent.log_id).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 3)
    logs = agent.ask("GET", f"/logs?brain={agent.brain}").json()
    assert [(log["log_id"], log["parent"]) for log in logs["logs"]] == [
        (child.log_id, agent.log_id),
        (agent.log_id, None),
    ]
    assert logs["cloud_id"] == answer["cloud_id"]


def test_f14_f16_oddities_are_kept_and_flagged(agent: Agent) -> None:
    """Garbage and conflicts are answered record by record, and the replica has every byte."""
    log = [event("a"), b"\0\0\n", event("a", "other"), b'{"n": NaN, "big": 1180591620717411303424}\r\n', b"\n"]
    answer = agent.send(log).json()
    assert [(item["record"], item["code"]) for item in answer["flagged"]] == [
        (1, "not_json"),
        (2, "event_conflict"),
        (4, "blank"),
    ]
    assert answer["accepted"] == 2
    assert agent.replica().content == b"".join(log)


def test_f15_f35_one_record_too_large_among_others_is_refused_alone(agent: Agent) -> None:
    """The others arrive; the place is kept, served as a line of the same length; a resend says it again."""
    log = [event("a"), event("b", "x" * 1024 * 1024), event("c")]
    answer = agent.send(log).json()
    assert (answer["accepted"], [item["code"] for item in answer["refused"]]) == (2, ["record_too_large"])
    assert answer["head"]["root"] == tree(log).root.hex()
    assert agent.send(log).json()["refused"][0]["record"] == 1
    served = agent.replica().content.splitlines(keepends=True)
    assert (served[0], served[2], len(served[1])) == (log[0], log[2], len(log[1]))
    assert json.loads(served[1])["gradata_hole"]["record"] == 1
    assert head(agent)["holes"] == 1


def test_a_hole_keeps_its_place_and_is_filled_by_a_resend(agent: Agent) -> None:
    """An envelope with a hole and no record; then the bytes, whose leaf must be the one that was claimed."""
    hole = {"length": len(LOG[0]), "leaf": tree(LOG[:1]).root.hex()}
    answer = agent.ask("POST", "/ingest", agent.body([], count=1, hole=hole)).json()
    assert (answer["accepted"], answer["head"]["root"]) == (1, tree(LOG[:1]).root.hex())
    assert agent.send(LOG, 1).json()["accepted"] == 2
    assert problem(agent.send([event("x"), *LOG[1:]])) == (409, "diverged")
    assert agent.send(LOG).json()["duplicates"] == 3
    assert {item["event_id"] for item in agent.events()} == {"a", "b", "c"}
    assert (agent.replica().content, head(agent)["holes"]) == (b"".join(LOG), 0)


def test_f35_holes_among_records_keep_their_places_and_are_filled_one_by_one(agent: Agent) -> None:
    """An envelope that leaves one record out; then this one alone, below the head, and the replica is whole."""
    holes = [{"record": 1, "length": len(LOG[1]), "leaf": leaf_hash(LOG[1]).hex()}]
    answer = agent.ask("POST", "/ingest", agent.body([LOG[0], LOG[2]], count=3, holes=holes)).json()
    assert (answer["accepted"], answer["head"]["root"]) == (3, tree(LOG).root.hex())
    assert head(agent)["holes"] == 1
    answer = agent.send(LOG[:2], 1).json()
    assert (answer["duplicates"], answer["head"]["size"]) == (1, 3)
    assert {item["event_id"] for item in agent.events()} == {"a", "b", "c"}
    assert (agent.replica().content, head(agent)["holes"]) == (b"".join(LOG), 0)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_batches_are_taken(agent: Agent, encoding: str) -> None:
    """Both encodings that the limits announce; answers are never compressed."""
    compress = gzip.compress if encoding == "gzip" else zstd.compress
    log = [event(str(number)) for number in range(2_000)]
    answer = agent.ask("POST", "/ingest", compress(agent.body(log)), Content_Encoding=encoding)
    assert answer.json().get("accepted") == 2_000, answer.text
    assert "content-encoding" not in answer.headers


def test_f36_a_body_beyond_the_limit_is_413_with_the_limits(agent: Agent) -> None:
    """Too many bytes, declared or chunked, and too many records."""
    limits = agent.send(LOG).json()["limits"]
    large = b"x" * (limits["body_bytes"] + 1)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    many = agent.body([b"\n"] * (limits["records"] + 1))
    for content in (large, chunks(), many):
        answer = agent.ask("POST", "/ingest", content)
        assert problem(answer) == (413, "body_too_large")
        assert answer.json()["limits"] == limits


def test_f40_schemas_and_unknown_fields(agent: Agent) -> None:
    """A newer schema is 426 with what is supported; unknown fields and headers are ignored."""
    newer = agent.send(LOG, schema=3)
    assert (problem(newer), newer.json()["supported"]) == ((426, "schema_unsupported"), [1, 2])
    correction = {"schema": 9, "brain_id": agent.brain, "correction": {}}
    assert agent.ask("POST", "/ingest", json.dumps(correction), kind=JSON).status_code == 426
    answer = agent.ask("POST", "/ingest", agent.body(LOG, future={"x": 1}), X_Future="yes")
    assert answer.json()["accepted"] == 3


def test_f40_one_correction_of_schema_1(agent: Agent) -> None:
    """Accepted, then a duplicate; without event_id it has one from its content; wrong fields are 422."""
    correction = {"session": 4, "category": "TONE", "severity": "major", "description": "d", "created_at": "2026-01-01"}
    document = {"brain_id": agent.brain, "event_id": None, "correction": correction, "further": [1]}
    first = agent.ask("POST", "/ingest", json.dumps(document), kind=JSON).json()
    again = agent.ask("POST", "/ingest", json.dumps(document, indent=1), kind=f"{JSON}; charset=utf-8").json()
    assert (first["status"], first["deduplicated"], first["schema"]) == ("accepted", False, 1)
    assert (again["status"], again["deduplicated"], again["event_id"]) == ("duplicate", True, first["event_id"])
    named = document | {"event_id": "named"}
    assert agent.ask("POST", "/ingest", json.dumps(named), kind=JSON).json()["event_id"] == "named"
    events = agent.events()
    assert [(item["event_id"], item["type"], item["session"], item["ts"]) for item in events] == [
        (first["event_id"], "CORRECTION", 4, "2026-01-01"),
        ("named", "CORRECTION", 4, "2026-01-01"),
    ]
    assert json.loads(events[0]["line"])["further"] == [1]
    wrong = {"brain_id": agent.brain, "correction": {"category": 3}}
    assert problem(agent.ask("POST", "/ingest", json.dumps(wrong), kind=JSON)) == (422, "invalid_field")


def test_loose_events_are_idempotent(agent: Agent) -> None:
    """Lines without envelope, the last without newline: stored once, part of no log."""
    content = b"".join(LOG) + event("d")[:-1]
    path = f"/ingest?brain={agent.brain}"
    first = agent.ask("POST", path, content, kind=NDJSON).json()
    again = agent.ask("POST", path, content, kind=NDJSON).json()
    assert (first["accepted"], again["accepted"], again["duplicates"], first["head"]) == (4, 0, 4, None)
    assert len(agent.events()) == 4
    assert agent.ask("GET", f"/logs?brain={agent.brain}").json()["logs"] == []
    assert problem(agent.ask("POST", "/ingest", content, kind=NDJSON)) == (400, "malformed")


def test_a_heartbeat_answers_with_the_head(agent: Agent) -> None:
    """Of an unknown log, too; what the client says of itself is kept."""
    status = {
        "state": "live", "log_bytes": 5, "backlog_bytes": 0, "last_event_at": None, "dead_letters": 0, "version": "1",
    }  # fmt: skip
    beat = {
        "brain_id": agent.brain, "device_id": "d", "log_id": agent.log_id, "cloud_id": None, "size": 0,
        "root": tree([]).root.hex(), "status": status,
    }  # fmt: skip
    empty = agent.ask("POST", "/heartbeat", json.dumps(beat), kind=JSON).json()
    assert empty["head"]["size"] == 0
    agent.send(LOG)
    assert agent.ask("POST", "/heartbeat", json.dumps(beat), kind=JSON).json()["head"]["root"] == tree(LOG).root.hex()
    assert head(agent)["client"]["state"] == "live"  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "kind", "headers", "expected"),
    [
        (b"no envelope\n", None, {}, (400, "malformed")),
        (b"[]\n", None, {}, (400, "malformed")),
        (b"", None, {}, (400, "malformed")),
        (b"x", "text/plain", {}, (415, "media_type_unsupported")),
        (b"x", None, {"Content_Encoding": "br"}, (415, "encoding_unsupported")),
        (b"x", None, {"Content_Encoding": "gzip, gzip"}, (415, "encoding_unsupported")),
        (b"x", None, {"Content_Encoding": "gzip"}, (400, "malformed")),
        (b"x", None, {"Content_Encoding": "zstd"}, (400, "malformed")),
        (gzip.compress(b"x", mtime=0)[:-5], None, {"Content_Encoding": "gzip"}, (400, "malformed")),
        (gzip.compress(b"x", mtime=0) * 2, None, {"Content_Encoding": "gzip"}, (400, "malformed")),
        (zstd.compress(b"x") * 2, None, {"Content_Encoding": "zstd"}, (400, "malformed")),
        (b"{", JSON, {}, (400, "malformed")),
    ],
)
def test_what_is_malformed_is_named(
    agent: Agent, content: bytes, kind: str | None, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """Each with its status and code, as problem+json."""
    assert (
        problem(agent.ask("POST", "/ingest", content, kind=kind or "application/vnd.gradata.batch", **headers))
        == expected
    )


def test_errors_of_the_framework_are_problems_too(agent: Agent) -> None:
    """404, 405 and wrong parameters."""
    assert problem(agent.ask("GET", "/nowhere")) == (404, "not_found")
    assert problem(agent.ask("PUT", "/ingest")) == (405, "method_not_allowed")
    assert problem(agent.ask("GET", "/events")) == (422, "invalid_parameter")
    assert problem(agent.ask("GET", f"/events?brain={agent.brain}&limit=0")) == (422, "invalid_parameter")
    assert problem(agent.ask("GET", f"/logs/{OTHER_LOG}")) == (404, "not_found")


def test_the_log_is_an_ordinary_resource(agent: Agent) -> None:
    """HEAD, ETag, ranges: what `curl -C -` needs to go on with a download."""
    agent.send(LOG)
    whole = b"".join(LOG)
    asked = agent.ask("HEAD", f"/logs/{agent.log_id}/bytes")
    assert (asked.headers["content-length"], asked.headers["accept-ranges"]) == (str(len(whole)), "bytes")
    assert asked.headers["etag"] == f'"{tree(LOG).root.hex()}"'
    part = agent.replica(Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert agent.replica(Range="bytes=20-").content == whole[20:]
    assert agent.replica(Range="bytes=-7").content == whole[-7:]
    assert agent.replica(Range=f"bytes=5-{len(whole) + 99}").content == whole[5:]
    beyond = agent.replica(Range=f"bytes={len(whole)}-")
    assert (problem(beyond), beyond.headers["content-range"]) == (
        (416, "range_not_satisfiable"),
        f"bytes */{len(whole)}",
    )
    assert agent.replica(Range="bytes=0-4", If_Range='"another"').content == whole
    assert agent.replica(Range="lines=1-2").content == whole


def test_tiles_hold_the_leaves(agent: Agent) -> None:
    """Partial ones are given as far as they go; what is not there is 404."""
    agent.send(LOG)
    tile = agent.ask("GET", f"/logs/{agent.log_id}/tile/0/0").content
    assert [tile[start : start + 32] for start in (0, 32, 64)] == [tree([record]).root for record in LOG]
    assert problem(agent.ask("GET", f"/logs/{agent.log_id}/tile/1/0")) == (404, "not_found")
    listed = agent.ask("GET", f"/logs?brain={agent.brain}&first_leaf={tree(LOG[:1]).root.hex()}").json()["logs"]
    assert [log["log_id"] for log in listed] == [agent.log_id]
    assert agent.ask("GET", f"/logs?brain={agent.brain}&first_leaf={'0' * 64}").json()["logs"] == []


def test_health_and_document_need_no_key(shared_cloud: LiveCloud) -> None:
    """A balancer and a program can ask before they have one; the document names every route of the protocol."""
    stranger = Agent(shared_cloud, key="none")
    assert stranger.ask("GET", "/health").json() == {"status": "ok"}
    assert stranger.ask("GET", "/ready").json() == {"status": "ready"}
    paths = stranger.ask("GET", "/openapi.json").json()["paths"]
    assert {f"/api/v1{path}" for path in ("/ingest", "/heartbeat", "/logs", "/events", "/logs/{log_id}/bytes")} <= set(
        paths
    )
    assert "application/vnd.gradata.batch" in paths["/api/v1/ingest"]["post"]["requestBody"]["content"]
