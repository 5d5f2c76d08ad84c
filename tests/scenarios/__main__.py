"""`python -m tests.scenarios --regenerate [NAME…]`: write the output of scenario scripts anew."""

from __future__ import annotations

import argparse

from .script import regenerate
from .test_scenarios import FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regenerate", action="store_true", required=True)
    parser.add_argument("names", nargs="*", help="only these scripts, without .txt")
    arguments = parser.parse_args()
    for script in sorted(FOLDER.glob("*.txt")):
        if not arguments.names or script.stem in arguments.names:
            text = script.read_text(encoding="utf-8")
            anew = regenerate(text)
            script.write_text(anew, encoding="utf-8")
            print(f"{'changed' if anew != text else 'as it was'}: {script.name}")


if __name__ == "__main__":
    main()
