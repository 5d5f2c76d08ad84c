"""The way of the commonest request from its bytes to its answer: without the framework, a task or a future.

That is a batch of a client that was here a moment ago, small enough to be interpreted at once, in the plainest form
of HTTP/1.1. Everything else is left alone *before* anything was done for it, errors included, and takes the general
way (`middleware`, `app`), so each refusal stands in one place. What both ways do, they do with the same functions of
`protocol.parse` and `context`; a test sends the same requests both ways and compares answers and stores.

Partners: `connection`, which has the connection; `middleware`, which has what holds for every answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from gradata.cloud.domain.requests import Append
from gradata.cloud.http.body import whole_body
from gradata.cloud.http.context import INLINE_BYTES, AppContext
from gradata.cloud.http.middleware import Edge
from gradata.cloud.http.raw_request import Asked, Direct
from gradata.cloud.http.request_log import request_id
from gradata.cloud.http.responses import answer_to, bug
from gradata.cloud.protocol import answers, parse
from gradata.cloud.protocol.answers import Answer, AnswerError, DeniedError
from gradata.cloud.service.api_keys import credential_of
from gradata.cloud.service.group_commit import Outcome
from gradata.cloud.store.values import StoreUnavailableError
from replicator.errors import WireError
from replicator.wire import BATCH_TYPE

HEAD_BYTES_MAX = 8 * 1024
LENGTH_DIGITS_MAX = 7
_ZERO = ord("0")
_LENGTH = re.compile(rb"\r\ncontent-length: ([1-9][0-9]{0,%d})\r\n" % (LENGTH_DIGITS_MAX - 1), re.IGNORECASE)
_LINE = re.compile(rb"([A-Za-z][A-Za-z0-9-]*): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_UNCOMMON = frozenset({"content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer", "proxy-connection"})

Reply = Callable[[Answer, bytes], None]
"""Sends the answer with these fields beside its own."""


class Head:
    """A request's head. `before` and `after`: what stands around its length, by which the next one is known."""

    __slots__ = ("after", "before", "credential", "encoding", "given_id", "headers")

    def __init__(self, before: bytes, after: bytes, headers: Mapping[str, str]) -> None:
        self.before = before
        self.after = after
        self.headers = headers
        self.credential = credential_of(headers.get("authorization"))
        self.encoding = headers.get("content-encoding")
        self.given_id = headers.get("x-request-id")

    def again(self, data: bytes) -> tuple[Head, int, int] | None:
        """As `Express.find`, if `data` begins with the same head, whatever its length is."""
        begin = len(self.before)
        end = data.find(b"\r", begin, begin + LENGTH_DIGITS_MAX + 1)
        digits = data[begin:end] if end > begin else b""
        if not digits.isdigit() or digits[0] == _ZERO or not data.startswith(self.after, end):
            return None
        return (self, end + len(self.after), int(digits)) if data.startswith(self.before) else None


def read_fields(plain: bytes, request_line: bytes) -> dict[str, str] | None:
    """What a head without its length says; None if anything in it is uncommon: for the parser to judge.

    What passes here means the same to every parser: each field once, in visible characters, nothing folded.
    """
    lines = plain.split(b"\r\n")
    if lines[0] != request_line:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        name = found[1].decode("ascii").lower()
        if name in headers or name in _UNCOMMON:
            return None
        headers[name] = found[2].decode("ascii")
    if "host" not in headers or headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    if headers.get("content-type") != BATCH_TYPE:
        return None
    return headers


class Express:
    """Takes the requests of one path."""

    def __init__(self, path: str, route: Direct, context: AppContext, edge: Edge) -> None:
        self._line = f"POST {path} HTTP/1.1".encode()
        self._scope = {"method": "POST", "endpoint": route}
        self.context = context
        self.edge = edge

    def find(self, data: bytes, known: Head | None) -> tuple[Head, int, int] | None:
        """The head that `data` begins with, where the body begins, and how long it is; None: not for this way."""
        found = None if known is None else known.again(data)
        if found is None:
            found = self._read(data)
        return None if found is None or found[2] > INLINE_BYTES else found

    def _read(self, data: bytes) -> tuple[Head, int, int] | None:
        end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        length = _LENGTH.search(data, 0, end + 2) if end > 0 else None
        if length is None or not data.startswith(self._line):
            return None
        headers = read_fields(data[: length.start()] + data[length.end(1) : end], self._line)
        if headers is None:
            return None
        return Head(data[: length.start(1)], data[length.end(1) : end + 4], headers), end + 4, int(length[1])

    def take(self, head: Head, body: bytes, reply: Reply) -> bool:
        """Have the request done; `reply` is called later, once. False: nothing was done, it must go the general way."""
        context = self.context
        principal = context.keys.remembered(head.credential)
        if principal is None or not principal.may("ingest") or not self.edge.has_room():
            return False
        try:
            plain = whole_body(body, encoding=head.encoding, bytes_max=INLINE_BYTES)
            work = parse.read_batch(principal, plain, context.limits)
            taken = context.hold(len(body))
        except (WireError, DeniedError, StoreUnavailableError):
            return False
        asking = _Asking(self, head, work, taken, reply)
        try:
            context.charge(asking, work.workspace, work.brain_id)
        except AnswerError:  # a request that is over its budget is not counted
            context.give_room(taken)
            return False
        self.edge.begin()
        context.submit(asking, work, asking.settled)
        return True

    def answered(self, status: int, seconds: float) -> None:
        """Tell of an answer."""
        self.edge.answered(self._scope, status, seconds)


class _Asking(Asked):
    """One request at work: its body was read already."""

    __slots__ = ("_begun", "_express", "_head", "_reply", "_taken", "_work")

    def __init__(self, express: Express, head: Head, work: Append, taken: int, reply: Reply) -> None:
        self.verdict = None
        self.claim = None
        self.headers = head.headers
        self._express = express
        self._head = head
        self._work = work
        self._taken = taken
        self._reply = reply
        self._begun = time.monotonic()

    def settled(self, outcome: Outcome) -> None:
        """On the loop's thread: answer."""
        express, context = self._express, self._express.context
        context.give_room(self._taken)
        express.edge.end()
        name = request_id(self._head.given_id)
        answer: Answer | None = None
        try:
            decision = context.decided(outcome, self._begun)
            answer = answers.answer_batch(self._work, decision, context.store.cloud_id, context.limits)
        except (AnswerError, StoreUnavailableError) as error:
            answer = answer_to(error, context.limits)
        finally:  # a bug is answered like every error, and raised on, to be recorded
            answer = bug() if answer is None else answer
            self._reply(answer, express.edge.block(name, self.verdict))
            express.answered(answer.status, time.monotonic() - self._begun)
