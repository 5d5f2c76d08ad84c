"""Read what Hermes gives to a hook: recorded with 0.19.0.

Its edit tools are `patch` (mode `replace`, or `patch` with a V4A text, the latter by its documents) and `write_file`.
The call after a tool also follows a failure; `extra.status` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall
from gradata.hooks.payloads import patch_text
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import call_name, inner, shape, text

FIELDS = CallFields(
    {
        "pre_tool_call": "before_tool",
        "post_tool_call": "after_tool",
        "pre_llm_call": "turn",
        "on_session_end": "turn",
        "on_session_start": "begin",
    }
)
NEVER_WRITE = frozenset({
    "clarify", "memory", "read_file", "search_files", "session_search", "todo", "web_extract", "web_search",
})  # fmt: skip
"""By its documents."""


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood."""
    given, extra = inner(said, "tool_input"), inner(said, "extra")
    call = call._replace(call=text(extra, "tool_call_id") or call_name(call.tool, given))
    if call.tool not in ("patch", "write_file"):
        return call._replace(may_write=call.tool not in NEVER_WRITE)
    writes = _writes(call.tool, given)
    if not writes:
        return CallNotUnderstood(f"{call.tool} without its texts", call.event, shape(given))
    failed = call.moment == "after_tool" and text(extra, "status") != "ok"
    return call._replace(may_write=True, writes=writes, outcome="failed" if failed else "done")


def _writes(tool: str, given: Mapping[str, Any]) -> tuple[FileWrite, ...]:
    path = text(given, "path")
    if tool == "write_file":
        content = text(given, "content")
        return () if path is None or content is None else (FileWrite(path, content=content),)
    if text(given, "mode") == "patch":
        return patch_text.writes(text(given, "patch") or "")
    draft, final = text(given, "old_string"), text(given, "new_string")
    if path is None or draft is None or final is None:
        return ()
    return (FileWrite(path, (Edit(draft, final, given.get("replace_all") is True),)),)
