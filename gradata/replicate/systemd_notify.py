"""systemd's notification protocol (sd_notify(3)): one datagram per message.

Without a supervisor every call does nothing. If the supervisor is gone, messages are dropped.
"""

from __future__ import annotations

import contextlib
import socket

STILL_S = 330.0
"""A thread that did nothing for longer than the longest request may take (16 MiB over the slowest line) is stuck."""


class SystemdNotifier:
    """Sends notifications to `address` (None: to nobody). `watchdog_s`: the watchdog interval in seconds, or None."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s if address is not None else None
        self._address = address
        self._said = ""

    @property
    def rest_s(self) -> float | None:
        """Seconds between two messages: half the watchdog interval, as its manual advises."""
        return None if self.watchdog_s is None else self.watchdog_s / 2

    def ready(self) -> None:
        """Report readiness."""
        self._send("READY=1")

    def working(self, *, still_s: float, words: str) -> None:
        """Trigger the watchdog, unless the thread is stuck; send `words` as the status if they changed."""
        lines = ["WATCHDOG=1"] if still_s <= STILL_S and self.watchdog_s is not None else []
        if words != self._said:
            self._said = words
            lines.append(f"STATUS={words}")
        if lines:
            self._send("\n".join(lines))

    def stopping(self) -> None:
        """Report that the process is stopping."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            with contextlib.suppress(OSError):  # it went away, or does not read: replication does not wait for it
                sender.sendto(text.encode(), address)
