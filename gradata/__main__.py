"""`gradata`, and `python -m gradata`: the command line.

A host waits for its hooks, so those do not pay for the other commands: neither their modules nor argparse is loaded.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run what was asked for; returns the exit code."""
    if sys.argv[1:2] == ["hook"]:
        from gradata.hooks.program import quick

        if (code := quick(sys.argv[2:])) is not None:
            return code
    from gradata.cli import main as cli

    return cli()


if __name__ == "__main__":
    sys.exit(main())
