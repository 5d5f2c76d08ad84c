"""Read what Claude Code gives to a hook: recorded with 2.1.332 and 2.1.197.

`userModified`: a person changed the proposal before accepting it; the call after the tool then holds the person's
text, the call before it (same `tool_use_id`) the model's. By the program's own schema; it was not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall, ToolOutcome
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import each_of, inner, shape, text

FIELDS = CallFields(
    {
        "PreToolUse": "before_tool",
        "PostToolUse": "after_tool",
        "PostToolUseFailure": "after_tool",
        "UserPromptSubmit": "turn",
        "Stop": "turn",
        "SessionStart": "begin",
        "SessionEnd": "look",
        "SubagentStop": "look",
        "FileChanged": "look",
    }
)
EDIT_TOOLS = frozenset({"Edit", "MultiEdit", "Write", "NotebookEdit"})
NEVER_WRITE = frozenset({
    "Agent", "AskUserQuestion", "BashOutput", "EnterPlanMode", "ExitPlanMode", "Glob", "Grep", "KillShell", "LS",
    "ListAgents", "Read", "ReportFindings", "ScheduleWakeup", "Skill", "SlashCommand", "Task", "TodoWrite",
    "ToolSearch", "WebFetch", "WebSearch",
})  # fmt: skip
"""By the program's own lists of tools. A person may edit a file while one of these asks, or while a subagent works,
whose own tools are told of."""


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood."""
    if call.tool not in EDIT_TOOLS:
        return call._replace(may_write=call.tool not in NEVER_WRITE)
    given, answer = inner(said, "tool_input"), inner(said, "tool_response")
    write = _write(call.tool, given, answer)
    if write is None:
        return CallNotUnderstood(f"{call.tool} without its texts", call.event, shape(given))
    return call._replace(
        may_write=True,
        writes=(write,),
        outcome=_outcome(call.event, answer),
        accepted_with_changes=answer.get("userModified") is True,
    )


def _outcome(event: str, answer: Mapping[str, Any]) -> ToolOutcome:
    if event == "PostToolUseFailure" or answer.get("success") is False or answer.get("error"):
        return "failed"
    return "staged" if answer.get("staged") is True else "done"


def _write(tool: str, given: Mapping[str, Any], answer: Mapping[str, Any]) -> FileWrite | None:
    path = text(given, "file_path", "notebook_path")
    if path is None:
        return None
    match tool:
        case "Write":
            content = text(given, "content")
            return None if content is None else FileWrite(path, (), content, text(answer, "originalFile"))
        case "NotebookEdit":
            source = text(given, "new_source")
            draft = text(answer, "old_source") or ""
            cells = () if source is None else (Edit(draft, source),)
            return FileWrite(path, cells, text(answer, "updated_file"), text(answer, "original_file"))
        case "MultiEdit":
            several = [_edit(one) for one in each_of(given, "edits")]
        case _:
            several = [_edit(given)]
    edits = tuple(edit for edit in several if edit is not None)
    return FileWrite(path, edits, None, text(answer, "originalFile")) if edits and None not in several else None


def _edit(given: Mapping[str, Any]) -> Edit | None:
    draft, final = text(given, "old_string"), text(given, "new_string")
    return None if draft is None or final is None else Edit(draft, final, given.get("replace_all") is True)
