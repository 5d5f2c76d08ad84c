"""The agents whose files gradata writes itself into, and how it finds itself there again.

`hosts` holds one module for each host, `catalog` the table of them; `known` recognises entries; `json_text`,
`yaml_text` and `toml_text` change a text without touching a byte beside the entry, `plugin_text` is a file of our own;
`editing` puts them together, pure. `install` writes files, `install_record` remembers what it found there. `found`
looks at a home and says what is in it, for `doctor`; `fired` is the record of which hook ran when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradata.agents.found import AgentFact as AgentFact
    from gradata.agents.found import AgentsFound as AgentsFound
    from gradata.agents.found import OldFact as OldFact
    from gradata.agents.found import Unread as Unread
    from gradata.agents.found import findings as findings

__all__ = ["AgentFact", "AgentsFound", "OldFact", "Unread", "findings"]


def __getattr__(name: str) -> object:
    """The public names, loaded when first asked for: a hook needs `fired` alone."""
    if name in __all__:
        from gradata.agents import found

        return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
