"""`python -m gradata.cli`, as the published SDK is started from scripts: the same as `gradata`."""

from __future__ import annotations

import sys

from gradata.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
