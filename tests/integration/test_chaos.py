"""The chaos proxy does to a connection what it says: without that, tests that use it prove nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from replicator.testing import chaos as chaotic
from replicator.testing.chaos import Chaos, Kind, ProxyFault


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers each piece with itself; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while piece := client.recv(1_000):
                    client.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


def exchange(chaos: Chaos, sent: bytes, *, wait_s: float = 5.0) -> bytes:
    """What comes back for `sent` until the connection ends or `wait_s` is over."""
    got = b""
    with socket.create_connection(("127.0.0.1", chaos.port), timeout=wait_s) as connection:
        connection.sendall(sent)
        while len(got) < len(sent):
            piece = connection.recv(1_000)
            if not piece:
                break
            got += piece
    return got


def test_without_a_fault_everything_passes(echo: int) -> None:
    """The proxy is transparent, and counts."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        assert exchange(chaos, b"hello") == b"hello"
        chaos.until(lambda: chaos.answer_bytes == 5)
        assert (chaos.accepted, chaos.request_bytes) == (1, 5)


@pytest.mark.parametrize("fault", [chaotic.reset(), chaotic.cut_answer(2, Kind.RESET)])
def test_a_reset_is_a_reset(echo: int, fault: ProxyFault) -> None:
    """RST, at once or in the middle of the answer."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        chaos.fault = fault
        with pytest.raises(ConnectionError):
            exchange(chaos, b"hello")


def test_an_answer_is_cut_where_it_was_said(echo: int) -> None:
    """The request arrived whole, two bytes of the answer came, then an orderly end."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        chaos.fault = chaotic.cut_answer(2, Kind.FINISH)
        assert exchange(chaos, b"hello") == b"he"
        assert chaos.request_bytes == 5


@pytest.mark.parametrize("fault", [chaotic.black_hole(), chaotic.cut_answer(0, Kind.BLACK_HOLE)])
def test_a_black_hole_is_silent(echo: int, fault: ProxyFault) -> None:
    """Nothing comes, and nothing ends."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        chaos.fault = fault
        with pytest.raises(TimeoutError):
            exchange(chaos, b"hello", wait_s=0.1)


def test_garbage_and_an_orderly_end(echo: int) -> None:
    """Junk is what was asked for; a closed connection gives nothing."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        chaos.fault = chaotic.garbage(b"junk!")
        assert exchange(chaos, b"hello") == b"junk!"
        chaos.fault = chaotic.finish()
        with socket.create_connection(("127.0.0.1", chaos.port), timeout=60) as connection:
            assert connection.recv(10) == b""


@pytest.mark.parametrize(("fault", "least_s"), [(chaotic.latency(0.1), 0.2), (chaotic.drip(0.05), 0.2)])
def test_slowness_is_as_slow_as_said(echo: int, fault: ProxyFault, least_s: float) -> None:
    """Latency counts in both directions; a drip takes its interval for each byte."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        chaos.fault = fault
        began = time.monotonic()
        assert exchange(chaos, b"hello") == b"hello"
        assert time.monotonic() - began >= least_s


def test_standing_connections_can_be_cut_and_new_ones_refused(echo: int) -> None:
    """`cut` resets what stands; `refuse` closes the port, and opens the same one again."""
    with Chaos(("127.0.0.1", echo)) as chaos:
        with socket.create_connection(("127.0.0.1", chaos.port), timeout=60) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            chaos.cut()
            with pytest.raises(ConnectionError):
                connection.recv(1)
        chaos.refuse()
        with pytest.raises(ConnectionRefusedError):
            exchange(chaos, b"hello")
        chaos.refuse(False)
        assert exchange(chaos, b"hello") == b"hello"


def test_a_dead_upstream_is_a_reset() -> None:
    """Where nobody listens behind the proxy, the client is told so."""
    with Chaos(("127.0.0.1", 9)) as chaos, pytest.raises(ConnectionError):
        exchange(chaos, b"hello")
