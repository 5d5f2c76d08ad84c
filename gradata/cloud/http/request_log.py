"""The server's log: one JSON object per line on stderr, with the id of its request.

No text of an event, key, query or address is logged: a line has the fields named here and no others. Each request has
an id, the client's own if it sent a well-formed one; it is in the answer (X-Request-Id) and in every line about the
request.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import count
from typing import TextIO, cast

from starlette.types import Scope

from gradata.log_output import DroppingStream

REQUEST_ID: ContextVar[str] = ContextVar("gradata_request_id", default="")
SLOW_S = 1.0
FIELDS = ("route", "method", "status", "seconds", "brains", "state", "attempts", "code")
"""The extra fields that a line may have: numbers and names of our own making."""
_OWN = secrets.token_hex(4)
"""Of this process: its requests are numbered."""
_NUMBERS = count(1)
_GIVEN = re.compile(r"[0-9A-Za-z._-]{8,64}", re.ASCII)

log = logging.getLogger("gradata.cloud")


def request_id_of(scope: Scope) -> str:
    """The client's X-Request-Id if it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _GIVEN.fullmatch(given):
                return str(given)
    return request_id(None)


def request_id(given: str | None) -> str:
    """`given`, if it is harmless, else a new one."""
    return given if given is not None and _GIVEN.fullmatch(given) else f"{_OWN}{next(_NUMBERS):08x}"


def route_of(scope: Scope) -> str:
    """The name of the function that answered: few names, whatever was asked for."""
    return getattr(scope.get("endpoint"), "__name__", "none")


def note_answer(scope: Scope, status: int, seconds: float | None) -> None:
    """A line for each answer that tells of trouble: a server's error, or a slow one."""
    if status >= 500 or (seconds is not None and seconds > SLOW_S):
        extra = {"route": route_of(scope), "method": scope["method"], "status": status}
        log.warning("request answered", extra=extra | {"seconds": round(seconds or 0.0, 3)})


class JsonLines(logging.Formatter):
    """A record as a JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message; the request's id; the fields of FIELDS; a traceback where there is one."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def write_json_lines() -> None:
    """Have the loggers of the server write JSON lines on stderr, without ever waiting for who reads it.

    For a process that is the server and nothing else.
    """
    stream = DroppingStream(sys.stderr.fileno())
    atexit.register(stream.close)
    handler = logging.StreamHandler(cast(TextIO, stream))
    handler.setFormatter(JsonLines())
    for name in ("gradata", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
