"""Read what our plugin hands over from OpenCode: the plugin's form, with the arguments seen in 1.18.33.

`{"hook_event_name", "sessionID", "cwd", "tool", "callID", "args", "metadata"}`; `metadata` stands after the call alone.
No call follows a tool that failed. Models of some names get `apply_patch` in the place of `edit` and `write`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall
from gradata.hooks.payloads import patch_text
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import inner, shape, text

FIELDS = CallFields(
    {
        "tool.execute.before": "before_tool",
        "tool.execute.after": "after_tool",
        "chat.message": "turn",
        "session.idle": "turn",
        "session.created": "begin",
        "file.edited": "look",
        "file.watcher.updated": "look",
    },
    "sessionID",
    "cwd",
    "tool",
    "callID",
)
NEVER_WRITE = frozenset({
    "glob", "grep", "list", "lsp", "question", "read", "skill", "task", "todoread", "todowrite", "webfetch",
    "websearch",
})  # fmt: skip
"""By its documents."""


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood."""
    if call.tool not in ("edit", "write", "apply_patch"):
        return call._replace(may_write=call.tool not in NEVER_WRITE)
    given = inner(said, "args")
    writes = _writes(call.tool, given, inner(said, "metadata"))
    if not writes:
        return CallNotUnderstood(f"{call.tool} without its texts", call.event, shape(given))
    return call._replace(may_write=True, writes=writes)


def _writes(tool: str, given: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[FileWrite, ...]:
    if tool == "apply_patch":
        return patch_text.writes(text(given, "patchText") or "")
    path = text(given, "filePath")
    if path is None:
        return ()
    if tool == "write":
        content = text(given, "content")
        return () if content is None else (FileWrite(path, content=content),)
    draft, final = text(given, "oldString"), text(given, "newString")
    if draft is None or final is None:
        return ()
    edit = Edit(draft, final, given.get("replaceAll") is True)
    return (FileWrite(path, (edit,), before=text(inner(metadata, "filediff"), "before")),)
