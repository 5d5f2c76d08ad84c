"""The corpus, and random changes of it: the engine that needs nothing installed and can be repeated exactly."""

from __future__ import annotations

import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_LOGS = ROOT / "fixtures" / "logs"
_FOLDERS = {"framing": _LOGS, "records": _LOGS}
CHANGES_MAX = 6
ODD = (
    b"\n",
    b"\r\n",
    b"\0",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"{",
    b"[" * 40,
    b"9" * 25,
    b"\xff",
    b"-1",
    b"1e999",
)


def folder(name: str) -> Path:
    """Where a target's committed inputs are: logs feed two of them."""
    return _FOLDERS.get(name, ROOT / "fixtures" / "fuzz" / name)


def corpus(name: str) -> list[bytes]:
    """The committed inputs of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder(name).iterdir())]


def changed(rng: random.Random, inputs: list[bytes]) -> bytes:
    """One input after a few changes: bytes replaced, cut, doubled, put in, or another input's piece."""
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.randrange(CHANGES_MAX)):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.randrange(1, 24))
        match rng.randrange(6):
            case 0:
                data[place:end] = b""
            case 1:
                data[place:place] = data[place:end] * rng.randrange(1, 4)
            case 2:
                data[place:place] = rng.choice(ODD)
            case 3 if place < len(data):
                data[place] = rng.randrange(256)
            case 4 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case _:
                other = rng.choice(inputs)
                start = rng.randrange(len(other) + 1)
                data[place:end] = other[start : start + rng.randrange(1, 200)]
    return bytes(data)
