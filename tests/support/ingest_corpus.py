"""Requests to the ingest: what clients send, what they should not, and how it may be odd.

Each is (name, bytes of the whole request). They are sent one after the other, on a log that grows with them;
`fixtures/cloud/ingest-answers.json` has the answer to each, as the first version of the server gave it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from tests.support.cloud_batches import BATCH, OTHER_LOG, body, event

REPORT = {"state": "live", "log_bytes": 9, "backlog_bytes": 0, "dead_letters": 0, "version": "1.0.0"}
ODD_RECORDS = (
    b"no json\n",
    b"\n",
    b"[1]\n",
    b'{"event_id": "crlf", "type": "T"}\r\n',
    b'{"event_id": "crlf", "type": "T"}\n',
    b'{"event_id": "crlf", "type": "U"}\n',
    b'{"event_id": "nul\\u0000", "type": "\\u0000T"}\n',
    b'{"event_id": "\xff"}\n',
    b'{"no": "id", "session": 1.5, "ts": 1700000000, "data": "{}"}\n',
    b'{"event_id": "\\ud800", "ts": NaN}\n',
    '{"event_id": "ä", "data": {"category": "\u2028"}}\n'.encode(),
    b'{"event_id": "' + b"x" * 65 + b'"}\n',
)


def posted(content: bytes, key: str, *fields: str, path: str = "/api/v1/ingest", kind: str = BATCH) -> bytes:
    """A request as clients send it; `fields` are further lines of its head."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: cloud",
        f"Authorization: Bearer {key}",
        f"Content-Type: {kind}",
        *fields,
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def corpus(key: str, reader: str, bound: str) -> Iterator[tuple[str, bytes]]:
    """`reader`: a key that may not send; `bound`: one that is good for another brain only."""
    yield "the first, before the key is known", posted(body([]), key)
    log = [event(f"e{number:03d}") for number in range(40)]
    for number in range(40):
        yield f"record {number}", posted(body(log, number, number + 1, status=REPORT), key)
    yield "a resend", posted(body(log, 39), key)
    yield "an old resend", posted(body(log, 3, 7), key)
    yield "a gap", posted(body([*log, log[0], log[1]], 41), key)
    yield "diverged", posted(body([*log[:39], event("other")], 39), key)
    yield "diverged before", posted(body([event("other"), *log], 1), key)
    yield "a wrong offset", posted(body([*log, event("e9")], 38, offset=7), key)
    for number, record in enumerate(ODD_RECORDS):
        log = [*log, record]
        yield f"odd record {number}", posted(body(log, len(log) - 1), key)
    log = [*log, event("e000", "changed"), event("new 1"), event("e001")]
    yield "three, a conflict, a new one, an old one", posted(body(log, len(log) - 3), key)
    log = [*log, b"x" * 3000]
    hole = {"length": 3000, "leaf": "a" * 64}
    yield "a hole", posted(body(log, len(log) - 1, len(log) - 1, count=1, hole=hole), key)
    whole = body([event("first")], log_id=OTHER_LOG)
    yield from wrong_envelopes(key)
    for name, fields in HEADS.items():
        yield name, posted(whole, key, *fields)
    yield "gzip", posted(gzip.compress(whole), key, "Content-Encoding: gzip")
    yield "broken gzip", posted(whole, key, "Content-Encoding: gzip")
    yield "a bomb", posted(gzip.compress(b" " * 3_000_000), key, "Content-Encoding: gzip")
    yield "an unknown encoding", posted(whole, key, "Content-Encoding: br")
    yield "large", posted(body([event("large", "x" * 40_000)], log_id=OTHER_LOG.replace("2", "3")), key)
    yield "a loose event", posted(event("loose"), key, path="/api/v1/ingest?brain=brain", kind="application/x-ndjson")
    yield "another type", posted(whole, key, kind="text/plain")
    yield "an unknown key", posted(whole, f"{key[:-4]}aaaa")
    yield "a reader", posted(whole, reader)
    yield "a reader again", posted(whole, reader)
    yield "a key of another brain", posted(whole, bound)
    yield "a key of another brain again", posted(whole, bound)
    yield "its own brain", posted(body([event("bound")], brain_id="bound"), bound)
    yield "nothing", posted(b"", key)


HEADS: dict[str, tuple[str, ...]] = {
    "an id": ("X-Request-Id: my-request-1",),
    "a harmful id": ("X-Request-Id: a b",),
    "a field twice": ("X-Request-Id: my-request-2", "X-Request-Id: my-request-3"),
    "an empty field": ("X-Nothing:",),
    "no space": ("X-Tight:yes",),
    "tabs": ("X-Tab:\tyes\t",),
    "bytes": ("X-Bytes: \xe4",),
    "keep alive": ("Connection: keep-alive",),
    "expect": ("Expect: 100-continue",),
    "folded": ("X-Folded: one", " two"),
    "spoken well": ("User-Agent: httpx/1", "Accept: */*", "Accept-Encoding: identity", "Gradata-Brain: brain"),
}


def wrong_envelopes(key: str) -> Iterator[tuple[str, bytes]]:
    """Envelopes that are wrong, or odd, in one thing."""
    one = [event("wrong")]
    changes: dict[str, object] = {
        "schema": 3, "schema ": 1, "brain_id": "", "brain_id ": "a\nb", "brain_id  ": "x" * 129, "device_id": 5,
        "log_id": "A" * 36, "cloud_id": "", "first": -1, "first ": 1.0, "first  ": True, "offset": 3, "root": "A" * 64,
        "root ": "a" * 63, "count": 0, "count ": 2, "count  ": 2**53 + 1, "parent": "x", "parent ": OTHER_LOG,
        "status": 5, "status ": {"state": "live"}, "status  ": {**REPORT, "more": 1}, "status   ": None,
        "unknown": [1], "hole": None, "status    ": {**REPORT, "trouble": "a\u2028b"},
    }  # fmt: skip
    for number, (name, value) in enumerate(changes.items()):
        log_id = f"{number:08d}-0000-4000-8000-000000000000"
        said = json.loads(body(one, log_id=log_id).partition(b"\n")[0]) | {name.strip(): value}
        yield f"envelope {name}={str(value)[:40]!r}", posted(json.dumps(said).encode() + b"\n" + one[0], key)
    for line in (b"", b"{}", b"[]", b"{", b'{"schema": 2', b"\xff", b'{"schema": NaN}'):
        yield f"envelope {line!r}", posted(line + b"\n" + one[0], key)
    whole = body(one)
    yield "no newline behind", posted(whole[:-1], key)
    yield "no records", posted(whole.partition(b"\n")[0] + b"\n", key)
    said = json.loads(whole.partition(b"\n")[0])
    twice = json.dumps(said).replace('"first": 0', '"first": 7, "first": 0').encode()
    yield "a field twice in the envelope", posted(twice + b"\n" + one[0], key)
