"""Read what Cursor gives to a hook: by its documents alone, the program was not run.

`afterFileEdit` follows the agent's edit, `afterTabFileEdit` a completion that a person accepted; both are the model's
text. Nothing comes before an edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall, Moment
from gradata.hooks.payloads.json_fields import call_name, each, shape, text

MOMENTS: Mapping[str, Moment] = {
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
}


def read(said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call, or why it is not understood."""
    event = text(said, "hook_event_name") or ""
    moment = MOMENTS.get(event, "other")
    if not event:
        return CallNotUnderstood("it names no event", shape=shape(said))
    roots = said.get("workspace_roots")
    cwd = next((root for root in roots if isinstance(root, str)), None) if isinstance(roots, list) else None
    call = HostCall(moment, event, text(said, "conversation_id"), text(said, "cwd") or cwd)
    if moment not in ("before_tool", "after_tool"):
        return call
    if event not in ("afterFileEdit", "afterTabFileEdit"):
        ran = text(said, "command", "tool_name") or ""
        return call._replace(tool=event, call=call_name(ran, {}), may_write=True)
    path = text(said, "file_path")
    several = [(text(one, "old_string"), text(one, "new_string")) for one in each(said, "edits")]
    edits = tuple(Edit(draft, final) for draft, final in several if draft is not None and final is not None)
    if path is None or not edits or len(edits) != len(several):
        return CallNotUnderstood("an edit without its texts", event, shape(said))
    return call._replace(tool=event, may_write=True, writes=(FileWrite(path, edits),))
