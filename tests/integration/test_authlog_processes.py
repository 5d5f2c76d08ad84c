"""The auth log between processes: no line lost or torn, also while it is rotated under everybody's hands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gradata.replicate.auth_log import auth_log_path

WRITERS, LINES = 4, 300
WRITE = """
import sys
from gradata.replicate import auth_log as authlog
authlog.KEPT = 100
path, name, lines = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(lines):
    authlog.append(path, f"{name} {number:06} {'x' * 80}\\n".encode(), bytes_max=4096)
"""


def test_f33_many_writers_and_rotation_lose_no_line(tmp_path: Path) -> None:
    """Four processes, a rotation every 40 lines: every line is there once and whole, and in each writer's order."""
    path = auth_log_path(str(tmp_path))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, path, f"w{number}", str(LINES)]) for number in range(WRITERS)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * WRITERS
    directory = os.path.dirname(path)
    rotated = sorted(
        (int(name.rpartition(".")[2]) for name in os.listdir(directory) if name[-1].isdigit()), reverse=True
    )
    assert len(rotated) > 10
    assert all(os.path.getsize(f"{path}.{number}") >= 4096 for number in rotated), "rotated before it was due"
    text = b"".join(Path(f"{path}.{number}").read_bytes() for number in rotated) + Path(path).read_bytes()
    found = [tuple(line.split()[:2]) for line in text.decode().splitlines()]
    assert all(len(line) == len(f"w0 000000 {'x' * 80}") for line in text.decode().splitlines())
    for number in range(WRITERS):
        own = [line for name, line in found if name == f"w{number}"]
        assert sorted(own) == [f"{line:06}" for line in range(LINES)]
