"""From a checkout and nothing but Python to a first correction in the page: what the README's quick start takes.

A fresh clone, a fresh home, an empty package cache; the README's lines are typed as they stand. The baseline of the
same run is the first line alone: making the environment, which is mostly the network's work.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.quick_start import ROOT, commands, is_in_the_page, script

LIMIT_S = 600.0


def main() -> int:
    """Run it, and print the figures."""
    place = Path(tempfile.mkdtemp(prefix="gradata-new-user-"))
    home, checkout = place / "home", place / "checkout"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True)
    python = place / "python"
    subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GRADATA_", "BRAIN_", "VIRTUAL"))}
    mine |= {
        "HOME": str(home),
        "PATH": f"{python}/bin{os.pathsep}/usr/local/bin:/usr/bin:/bin",
        "UV_CACHE_DIR": str(place / "cache"),
        "PIP_NO_CACHE_DIR": "1",
    }
    first, *rest = commands()
    began, began_at = time.monotonic(), time.time()
    marked = [first, f"touch {place}/installed", *rest]
    user = subprocess.Popen(["bash", "-c", script(marked, port)], cwd=checkout, env=mine, stdin=subprocess.PIPE)
    try:
        seconds = _wait(lambda: _shown(home / ".gradata" / "key", port), began, user)
        installed_s = (place / "installed").stat().st_mtime - began_at
    finally:
        user.communicate(b"\n", timeout=60)
        shutil.rmtree(place)
    print(f"environment made in                 {installed_s:6.1f} s   (baseline: packages from the registry)")
    print(f"correction visible in the page after {seconds:5.1f} s   (target 120 s)")
    return 0


def _shown(key: Path, port: int) -> bool:
    try:
        return key.exists() and is_in_the_page(port, key.read_text().strip())
    except httpx.TransportError:
        return False


def _wait(shown: object, began: float, user: subprocess.Popen[bytes]) -> float:
    assert callable(shown)
    while not shown():
        if user.poll() is not None or time.monotonic() - began > LIMIT_S:
            raise SystemExit("the quick start ended, or took too long, without a correction in the page")
        time.sleep(0.1)
    return time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main())
