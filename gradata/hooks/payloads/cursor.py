"""Read what Cursor gives to a hook: by its documents alone, the program was not run.

`afterFileEdit` follows the agent's edit, `afterTabFileEdit` a completion that a person accepted; both are the model's
text. Nothing comes before an edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import call_name, each_of, shape, text

FIELDS = CallFields(
    {
        "beforeShellExecution": "before_tool",
        "beforeMCPExecution": "before_tool",
        "afterShellExecution": "after_tool",
        "afterMCPExecution": "after_tool",
        "afterFileEdit": "after_tool",
        "afterTabFileEdit": "after_tool",
        "beforeSubmitPrompt": "turn",
        "stop": "turn",
        "beforeReadFile": "look",
        "beforeTabFileRead": "look",
        "sessionStart": "begin",
        "sessionEnd": "look",
    },
    "conversation_id",
    "cwd",
    "hook_event_name",
)


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood; the event stands for the tool's name."""
    roots = said.get("workspace_roots")
    root = next((each for each in roots if isinstance(each, str)), None) if isinstance(roots, list) else None
    call = call._replace(cwd=call.cwd or root, may_write=True)
    if call.event not in ("afterFileEdit", "afterTabFileEdit"):
        return call._replace(call=call_name(text(said, "command", "tool_name") or "", {}))
    path = text(said, "file_path")
    several = [(text(one, "old_string"), text(one, "new_string")) for one in each_of(said, "edits")]
    edits = tuple(Edit(draft, final) for draft, final in several if draft is not None and final is not None)
    if path is None or not edits or len(edits) != len(several):
        return CallNotUnderstood("an edit without its texts", call.event, shape(said))
    return call._replace(writes=(FileWrite(path, edits),))
