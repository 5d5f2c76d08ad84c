"""A new user who types what the README says sees the correction in the page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.quick_start import commands, is_in_the_page, script


def test_the_quick_start_of_the_readme_ends_in_the_page(tmp_path: Path) -> None:
    """Line by line as it stands, but for the environment, which the tests have: key, cloud, brain, page."""
    home = tmp_path / "home"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    first, *lines = commands()
    assert "uv sync" in first
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GRADATA_", "BRAIN_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    user = subprocess.Popen(
        ["bash", "-c", script(lines, port)],
        env={**mine, "HOME": str(home), "PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert user.stdout is not None
    said = []
    try:
        for line in user.stdout:  # the end of the output, if it fails: bounded by the test's own time
            said.append(line)
            if line.startswith("the cloud has it"):
                break
        key = home / ".gradata" / "key"
        assert key.exists(), said
        assert is_in_the_page(port, key.read_text().strip()), said
        assert key.stat().st_mode & 0o777 == 0o600
    finally:
        user.communicate("\n", timeout=30)
