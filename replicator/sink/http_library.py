"""The HTTP client library, in one place: all other modules take it from here, and only when something is sent.

`httpx2` has the same interface: to change over, import that one as `httpx`. Imported for the first time it costs a
tenth of a second, so nothing that a program imports to append a record may import this module at its top.
"""

from __future__ import annotations

import httpx as httpx
