"""Every request of every command: the environment's proxies and authorities hold for all, and each one ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.cli_runner import CommandLine

KEY = "gk_live_a_key_of_nobody"
COMMANDS = (("fleet",), ("verify",), ("status",), ("doctor",), ("restore", "--yes"))
ODD_VARIABLES = {
    "socks": {"ALL_PROXY": "socks://127.0.0.1:7891/"},
    "no_proxy with brackets": {"NO_PROXY": "localhost,::1,[::1]"},
    "no_proxy with a network": {"NO_PROXY": "localhost,fd07:b51a:cc66:f0::/64"},
    "a key log that cannot be written": {"SSLKEYLOGFILE": "/nonexistent/keys.log"},
    "no authorities": {"SSL_CERT_FILE": "/nonexistent/ca.pem"},
}
ENDED_S = 40.0
"""Far above the commands' own deadlines of 15 s: what is tested is that they end."""


@pytest.mark.parametrize("variables", ODD_VARIABLES.values(), ids=ODD_VARIABLES)
def test_f65_no_variable_of_the_environment_makes_a_traceback(cli: CommandLine, variables: dict[str, str]) -> None:
    """Each command answers, or says which variable cannot be used; none ends in a traceback."""
    cli("init")
    running = {
        command: cli.start(*command, GRADATA_ENDPOINT="https://127.0.0.2:9", GRADATA_API_KEY=KEY, **variables)
        for command in COMMANDS
    }
    for command, process in running.items():
        said, errors = process.communicate(timeout=ENDED_S)
        assert "Traceback" not in said + errors, (command, errors)
        assert process.returncode in (0, 1, 2, 3), command


def test_f65_a_proxy_that_cannot_work_is_named_by_its_variable(cli: CommandLine) -> None:
    """The message has the variable's name, and not its value, which may hold a password."""
    cli("init")
    odd = {"GRADATA_ENDPOINT": "https://cloud.example", "ALL_PROXY": "socks://u:secret@h:1/"}
    process = cli.start("fleet", GRADATA_API_KEY=KEY, **odd)
    said, errors = process.communicate(timeout=ENDED_S)
    assert ("ALL_PROXY" in errors, "secret" in said + errors, process.returncode) == (True, False, 2)


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.5)


def _endless_early_hints(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        time.sleep(0.05)


def _mute(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@contextmanager
def answering(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that does this to each connection, once a request has come."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                if connection.recv(65536):
                    behave(connection)
            except OSError:
                return  # the command ended

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_f69_no_command_hangs_whatever_answers(cli: CommandLine) -> None:
    """Against a drip, endless interim answers or silence, each command ends within its deadline, in words."""
    cli("init")
    with answering(_drip) as drip, answering(_endless_early_hints) as hints, answering(_mute) as mute:
        running = {
            (url, command): cli.start(*command, GRADATA_ENDPOINT=url, GRADATA_API_KEY=KEY)
            for url in (drip, hints, mute)
            for command in COMMANDS
        }
        for name, process in running.items():
            said, errors = process.communicate(timeout=ENDED_S)
            assert "Traceback" not in said + errors, (name, errors)
            assert process.returncode in (0, 1, 2, 3), name
