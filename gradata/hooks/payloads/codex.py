"""Read what Codex gives to a hook: seen with 0.171.0.

Its edit tool is `apply_patch`; the patch is the text of `tool_input.command`, and names of files stand only there. No
call follows a patch that failed. Shell tools are named `Bash`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, HostCall
from gradata.hooks.payloads import patch_text
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import inner, shape, text

FIELDS = CallFields(
    {
        "PreToolUse": "before_tool",
        "PostToolUse": "after_tool",
        "UserPromptSubmit": "turn",
        "Stop": "turn",
        "Interrupt": "turn",
        "SessionStart": "begin",
        "SessionEnd": "look",
        "SubagentStop": "look",
    }
)
NEVER_WRITE = frozenset({
    "create_goal", "get_goal", "request_user_input", "tool_search", "update_goal", "update_plan", "view_image",
    "web_search",
})  # fmt: skip
"""By the program's own list of tools."""
_EXIT_CODE = re.compile(r"Exit code: (-?\d+)")


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood."""
    if call.tool != "apply_patch":
        return call._replace(may_write=call.tool not in NEVER_WRITE)
    given = inner(said, "tool_input")
    writes = patch_text.writes(text(given, "command") or "")
    if not writes:
        return CallNotUnderstood("apply_patch without its patch", call.event, shape(given))
    ended = _EXIT_CODE.match(text(said, "tool_response") or "")
    failed = ended is not None and ended.group(1) != "0"
    return call._replace(may_write=True, writes=writes, outcome="failed" if failed else "done")
