"""`python -m gradata`: the command line, for where the script is not on the path."""

from __future__ import annotations

import sys

from gradata.cli import main

if __name__ == "__main__":
    sys.exit(main())
