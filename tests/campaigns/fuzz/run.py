"""Feed bytes to what reads bytes.

    python -m tests.campaigns fuzz --target NAME --seconds N [--engine atheris|plain] [--seed N]

atheris (libFuzzer with coverage of Python) where it is installed (`--group fuzz`), else `plain`: the corpus changed at
random, without coverage. Both start from the committed corpus in fixtures/fuzz and print executions and findings; a
finding is kept as a file that `--replay FILE` runs alone. Exit 0: nothing was found; 1: something was; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .plain import changed, corpus, folder
from .targets import TARGETS

LENGTH_MAX = 8_192
START_S_MAX = 120.0
_CHILD = """
import sys, atheris
with atheris.instrument_imports(include=["replicator", "gradata"]):
    from tests.campaigns.fuzz.targets import TARGETS
atheris.Setup(sys.argv, TARGETS[{name!r}])
atheris.Fuzz()
"""


def plain(name: str, seconds: float, seed: int, findings: Path) -> tuple[int, int]:
    """Executions and findings of the engine without coverage."""
    rng, target, inputs = random.Random(seed), TARGETS[name], corpus(name)
    runs = found = 0
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        runs += 1
        data = changed(rng, inputs)
        try:
            target(data)
        except Exception:  # noqa: BLE001 -- whatever the code under test raises is a finding
            found += 1
            place = findings / f"{name}-{found}"
            place.write_bytes(data)
            print(f"found: {place}\n{traceback.format_exc()}", file=sys.stderr)
            if found >= 10:
                break
    return runs, found


def guided(name: str, seconds: int, seed: int, findings: Path) -> tuple[int, int]:
    """Executions and findings of atheris; libFuzzer ends with the first finding."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as grown:
        options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LENGTH_MAX}", "-print_final_stats=1"]
        options += ["-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={findings}/{name}-"]
        command = [sys.executable, "-c", _CHILD.format(name=name), *options, grown, str(folder(name))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + START_S_MAX)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
    if covered:
        print(f"{name}: {covered[-1][0]} edges of coverage, {covered[-1][1]} features")
    if done.returncode:
        print(done.stdout[-3_000:], done.stderr[-3_000:], sep="\n", file=sys.stderr)
    if runs is None and not done.returncode:
        raise SystemExit(f"atheris told nothing:\n{done.stderr[-1_000:]}")
    return int(runs[1]) if runs else 0, int(done.returncode != 0)


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found; 1: something was."""
    parser = argparse.ArgumentParser(prog="tests.campaigns fuzz", description="Feed bytes to what reads bytes.")
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--engine", choices=("atheris", "plain"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("findings"), metavar="DIR")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input of --target")
    options = parser.parse_args(arguments)
    names = list(TARGETS) if options.target == "all" else [options.target]
    if options.replay is not None:
        if len(names) != 1:
            parser.error("--replay needs --target")
        TARGETS[names[0]](options.replay.read_bytes())
        print("it holds")
        return 0
    engine = options.engine or ("atheris" if importlib.util.find_spec("atheris") else "plain")
    options.findings.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        run = guided if engine == "atheris" else plain
        runs, found = run(name, options.seconds, options.seed, options.findings)
        failed += found
        print(f"{name}: {runs} executions in {options.seconds} s ({engine}), {found} findings", flush=True)
    if not any(options.findings.iterdir()):
        options.findings.rmdir()
    return 1 if failed else 0
