"""Several statements in one round trip: all sent at once, then all answers.

psycopg's own pipeline writes to the socket and looks for answers after each statement, which for a small group of
requests costs more than the statements. Arguments are arrays that are ready for the wire (`binary_arrays`), answers
come in binary form.
"""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from gradata.cloud.store.postgres.binary_arrays import Parameter

PUSH_S = 30.0
"""How long the database may take nothing of what is sent before its connection counts as dead."""

Call = tuple[bytes, Sequence[Parameter]]
"""A statement with $1, $2, … and its arguments."""
COMMIT: Call = (b"COMMIT", ())
BEGIN: Call = (b"BEGIN ISOLATION LEVEL READ COMMITTED", ())
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.DefaultSelector)
_FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


def exchange(connection: psycopg.Connection[Any], calls: Sequence[Call]) -> list[PGresult]:
    """Send the calls; the answer to each. Raises the psycopg error of the first that fails: none behind it was done.

    Outside of a transaction they are one by themselves, committed when this returns, undone if it raises.

    A connection on which this does not come to its end is closed.
    """
    send(connection, calls)
    return receive(connection, len(calls))


def send(connection: psycopg.Connection[Any], calls: Sequence[Call]) -> None:
    """The first half of `exchange`. More may be sent before `receive` is called for this, each a unit by itself."""
    link = connection.pgconn
    try:
        link.enter_pipeline_mode()
        for statement, arguments in calls:
            values = [argument.wire for argument in arguments]
            kinds = [argument.oid for argument in arguments]
            link.send_query_params(statement, values, kinds, [Format.BINARY] * len(values), Format.BINARY)
        link.pipeline_sync()
        if link.flush():
            _push(link)
    except BaseException:
        connection.close()
        raise


def receive(connection: psycopg.Connection[Any], count: int, *, last: bool = True) -> list[PGresult]:
    """The second half: the answers to the `count` calls that were sent first. `last`: nothing was sent behind them."""
    link = connection.pgconn
    try:
        answers = _answers(link)
        if last:
            link.exit_pipeline_mode()
    except BaseException:
        connection.close()
        raise
    for answer in answers:
        if answer.status not in _FINE:
            raise psycopg.errors.error_from_result(answer, connection.info.encoding)
    assert len(answers) == count, "an answer for each call"  # and one more for a commit that failed
    return answers


def _push(link: PGconn) -> None:
    """Send what the socket did not take at once, and take what comes meanwhile, so that nobody waits for the other."""
    with _Selector() as selector:
        selector.register(link.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while link.flush():
            ready = selector.select(PUSH_S)
            if not ready:
                raise psycopg.OperationalError("the database takes no more of a batch")
            if any(mask & selectors.EVENT_READ for _, mask in ready):
                link.consume_input()


def _answers(link: PGconn) -> list[PGresult]:
    answers: list[PGresult] = []
    with _Selector() as selector:
        selector.register(link.socket, selectors.EVENT_READ)
        while True:
            while link.is_busy():
                selector.select()
                link.consume_input()
            answer = link.get_result()
            if answer is None:
                if link.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the database closed the connection")
                continue
            if answer.status == ExecStatus.PIPELINE_SYNC:
                return answers
            answers.append(answer)
