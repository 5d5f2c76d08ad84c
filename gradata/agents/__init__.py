"""The agents whose configuration gradata writes itself into, and how it finds itself there again.

`hosts` is the table of agents; `known` recognises entries; `json_text`, `yaml_text` and `toml_text` change a text
without touching a byte beside the entry; `editing` puts them together, pure; `found` looks at a home and says what
is in it, for `doctor`; `fired` is the record of which hook ran when. Files are written by `gradata.install` alone.
"""

from __future__ import annotations

from gradata.agents.found import Found, HookFact, OldFact, Unread, findings

__all__ = ["Found", "HookFact", "OldFact", "Unread", "findings"]
