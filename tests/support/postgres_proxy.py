"""What stands between a server and its database (a pooler, a proxy) and may go mute: a relay between two sockets."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_fixture import Postgres

PORT = 5432


class Relay:
    """Passes bytes on to the database whose socket is in `target`, which may be changed at any time."""

    def __init__(self, directory: Path, target: Path) -> None:
        self.target = target
        self.directory = directory
        self.connections = 0
        self.refusing = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._mute: set[int] = set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / f".s.PGSQL.{PORT}"))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """The address of a database behind the relay."""
        return f"postgresql://gradata@/{database}?host={self.directory}"

    def mute(self, *, new: bool = False) -> None:
        """From now on nothing passes on the connections that are open; `new`: on new ones neither."""
        self._mute.update(number for number in range(self.connections))
        self.refusing = new

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1
            if self.refusing:
                self._mute.add(number)
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.target / f".s.PGSQL.{PORT}"))
            except OSError:
                near.close()
                far.close()
                continue
            self._pairs.append((near, far))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(number, one, other), daemon=True).start()

    def _pass_on(self, number: int, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if number not in self._mute:
                    other.sendall(data)
        if number in self._mute:
            return
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(own_postgres: Postgres, short_directory: Path) -> Iterator[Relay]:
    """A relay before `own_postgres`."""
    made = Relay(short_directory, own_postgres.directory)
    yield made
    made.close()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory with a path that is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="gradata-relay-") as name:
        yield Path(name)
