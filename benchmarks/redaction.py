"""What redaction costs: milliseconds for 4,000 characters, of usual texts and of those made to be slow.

Run: python benchmarks/redaction.py [--repeat 20]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from gradata.brain.redaction.redaction import redact

CHARACTERS = 4_000
LONGER = 16
"""Growth is measured against a text of this many times the length."""


def best_s(text: str, repeat: int) -> float:
    """Seconds of the quickest of several runs: what the work costs, without the machine's other work."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        redact(text)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Print the figures, the most expensive text first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20)
    repeat = parser.parse_args().repeat
    root = Path(__file__).parents[1]
    hostile = ["".join(parts) for parts in json.loads((root / "fixtures/secrets/hostile.json").read_text("utf-8"))]
    secrets = [json.loads(line) for line in (root / "fixtures/secrets/goes.jsonl").read_text("utf-8").splitlines()]
    texts = {
        "prose (README.md)": (root / "README.md").read_text("utf-8"),
        "code (gradata/brain/events.py)": (root / "gradata/brain/events.py").read_text("utf-8"),
        "innocents": (root / "fixtures/secrets/stays.txt").read_text("utf-8"),
        "nothing but secrets": "\n".join("".join(each["secret"]) for each in secrets),
        **{repr(unit): unit for unit in hostile},
    }
    rows = []
    for name, unit in texts.items():
        text = unit * (CHARACTERS * LONGER // len(unit) + 1)
        short_s = best_s(text[:CHARACTERS], repeat)
        rows.append((short_s, best_s(text[: CHARACTERS * LONGER], max(3, repeat // LONGER)) / short_s, name))
    print(f"{'ms':>8} {f'growth x{LONGER}':>12}  of {CHARACTERS:,} characters")
    for short_s, growth, name in sorted(rows, reverse=True):
        print(f"{short_s * 1000:8.3f} {growth:12.1f}  {name}")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    main()
