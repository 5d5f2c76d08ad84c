"""Read what Gemini CLI gives to a hook: seen with 0.61.0.

Its edit tools are `replace` and `write_file`. The call after a tool also follows a failure, then with
`tool_response.error`; `returnDisplay` holds the whole file before and after. `modified_by_user` with
`ai_proposed_content` (by its source: write-file.ts and edit.ts, `createUpdatedParams`): a person changed the proposal
in an editor. Of `write_file` that is the whole text; of `replace` it is the model's `new_string`, while `old_string`
and `new_string` are the whole file before and after the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall
from gradata.hooks.line_diff import hunks
from gradata.hooks.payloads.call_fields import CallFields
from gradata.hooks.payloads.json_fields import call_name, inner, shape, text

FIELDS = CallFields(
    {
        "BeforeTool": "before_tool",
        "AfterTool": "after_tool",
        "BeforeAgent": "turn",
        "AfterAgent": "turn",
        "SessionStart": "begin",
        "SessionEnd": "look",
    }
)
NEVER_WRITE = frozenset({
    "activate_skill", "ask_user", "enter_plan_mode", "exit_plan_mode", "glob", "google_web_search", "grep_search",
    "invoke_agent", "list_directory", "read_file", "read_many_files", "update_topic", "web_fetch", "write_todos",
})  # fmt: skip
"""By the program's own list of tools. A subagent's tools are told of by themselves."""

SHARED_CHARACTERS_MAX = 1_000


def read_tool(call: HostCall, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
    """The call of a tool with what it writes, or why it is not understood."""
    given, answer = inner(said, "tool_input"), inner(said, "tool_response")
    call = call._replace(call=call_name(call.tool, given))
    if call.tool not in ("replace", "write_file"):
        return call._replace(may_write=call.tool not in NEVER_WRITE)
    write = _write(call.tool, given, answer.get("returnDisplay"))
    if write is None:
        return CallNotUnderstood(f"{call.tool} without its texts", call.event, shape(given))
    return call._replace(may_write=True, writes=(write,), outcome="failed" if answer.get("error") else "done")


def _write(tool: str, given: Mapping[str, Any], shown: object) -> FileWrite | None:
    display: Mapping[str, Any] = shown if isinstance(shown, dict) else {}
    path = text(display, "filePath") or text(given, "file_path")
    if path is None:
        return None
    before, after = text(display, "originalContent"), text(display, "newContent")
    proposed = text(given, "ai_proposed_content") if given.get("modified_by_user") is True else None
    if tool == "write_file":
        content = text(given, "content")
        if content is None:
            return None
        by_person = None if proposed is None else Edit(proposed, content)
        return FileWrite(path, (), content, before, by_person)
    draft, final = text(given, "old_string"), text(given, "new_string")
    if draft is None or final is None:
        return None
    if proposed is not None:
        return FileWrite(path, (), final, draft, Edit(proposed, persons_region(draft, final, proposed)))
    everywhere = given.get("allow_multiple") is True
    return FileWrite(path, (Edit(draft, final, everywhere),), after, before)


def persons_region(before: str, after: str, proposed: str) -> str:
    """What stands in `after` where the model proposed its text.

    The changed lines, without what their first and last line share with the file before and the model did not propose.
    """
    old, new = before.split("\n"), after.split("\n")
    changed = hunks(old, new)
    if not changed:
        return ""
    region = "\n".join(new[changed[0].now_start : changed[-1].now_end])
    replaced = "\n".join(old[changed[0].start : changed[-1].end])
    start = _best(region, proposed, _shared(replaced, region))
    end = _best(region[start:][::-1], proposed[::-1], _shared(replaced[::-1], region[start:][::-1]))
    found = region[start : len(region) - end]
    return found + "\n" if proposed.endswith("\n") and not found.endswith("\n") else found


def _best(region: str, proposed: str, shared: int) -> int:
    """Where in its first `shared` characters the region goes on longest as the proposed text begins.

    Nowhere: all that is shared stood around the proposed text.
    """
    alike = {at: _shared(region[at:], proposed) for at in range(min(shared, SHARED_CHARACTERS_MAX) + 1)}
    best = max(alike, key=lambda at: (alike[at], -at))
    return best if alike[best] else len(alike) - 1


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
