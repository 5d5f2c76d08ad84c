"""Prefetch: split and hash the next batch while the present one is being sent.

A guess, never evidence: `Ahead` remembers the result for the bytes that it read, and `reading` uses it only if the
bytes in the log *then* are equal, each one compared. So what is sent is always what was read directly before. This
saves the time of splitting and hashing, two thirds of what a batch costs the client.

Each guess has one thread, which ends by itself: a reader that is dropped leaves none behind, and in a forked child an
unfinished guess counts as none. Nothing is guessed if a request takes no longer than the guess would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

from replicator.log.disk import READ, Disk
from replicator.log.scan import Bounds, Scan
from replicator.model import MIB, Batch
from replicator.proof import leaf_hashes

WORTH_S = 0.02
"""A request shorter than this (seconds) leaves no time to prefetch: the hand-over between threads would cost more."""
BYTES_MAX = 8 * MIB
"""Larger batches are not prefetched: two of them would be in memory."""
LEAVES_A_STEP = 64
STEP_PAUSE_S = 50e-6
"""Pause between steps (seconds), so that the sending thread gets the interpreter: otherwise it would wait up to 5 ms
for each 64 KiB.
"""


@dataclass(slots=True)
class _Guess:
    first: int
    offset: int
    bounds: Bounds
    batch: Batch | None = None
    wanted: bool = False
    """Somebody waits for it: no pauses."""
    dropped: bool = False
    thread: threading.Thread | None = field(default=None, repr=False)


class Ahead:
    """At most one guess, for one log and one thread that asks."""

    def __init__(self, path: str, disk: Disk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._disk = disk
        self._clock = clock
        self._guess: _Guess | None = None
        self._given_at: float | None = None
        self._worth = False

    def take(self, first: int, offset: int, bounds: Bounds) -> Batch | None:
        """The guess for this place and these bounds, with its leaves; None if there is none. Waits for its end."""
        if self._given_at is not None:
            self._worth = self._clock() - self._given_at >= WORTH_S
            self._given_at = None
        guess, self._guess = self._guess, None
        if guess is None or guess.thread is None:
            return None
        fits = (guess.first, guess.offset, guess.bounds) == (first, offset, bounds)
        guess.wanted, guess.dropped = True, not fits
        guess.thread.join()
        return guess.batch if fits else None

    def begin(self, first: int, offset: int, bounds: Bounds) -> None:
        """A batch was found and will be sent; guess what is read after it, at this place, if requests take long."""
        self._given_at = self._clock()
        if not self._worth or bounds.bytes > BYTES_MAX:
            return
        guess = self._guess = _Guess(first, offset, bounds)
        thread = threading.Thread(target=self._work, args=(guess,), name="replicator-ahead", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # no thread is to be had, at the interpreter's end for one
        guess.thread = thread

    def _work(self, guess: _Guess) -> None:
        try:
            fd = self._disk.open(self._path, READ)
            try:
                found = Scan(self._disk, fd, self._disk.fstat(fd)).load(guess.first, guess.offset, guess.bounds)
            finally:
                self._disk.close(fd)
        except OSError:
            return  # the read that follows meets the same, and tells
        if not isinstance(found, Batch):
            return
        views = found.views()
        leaves: list[bytes] = []
        while not guess.dropped and (fresh := leaf_hashes(islice(views, LEAVES_A_STEP))):
            leaves += fresh
            if not guess.wanted:
                time.sleep(STEP_PAUSE_S)
        if not guess.dropped:
            guess.batch = replace(found, hashed=tuple(leaves))
