"""What the calls of all hosts have in common: an event that says when, and a tool where one runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, HookMoment, HostCall
from gradata.hooks.payloads.json_fields import shape, text


@dataclass(frozen=True, slots=True)
class CallFields:
    """One host's words: its events, and its names of the fields."""

    moments: Mapping[str, HookMoment]
    session: str = "session_id"
    cwd: str = "cwd"
    tool: str = "tool_name"
    call: str = "tool_use_id"

    def read(self, said: Mapping[str, Any]) -> HostCall | CallNotUnderstood:
        """The call without what its tool writes."""
        event = text(said, "hook_event_name")
        if event is None:
            return CallNotUnderstood("it names no event", shape=shape(said))
        moment = self.moments.get(event, "other")
        tool = text(said, self.tool)
        if tool is None and moment in ("before_tool", "after_tool"):
            return CallNotUnderstood("it names no tool", event, shape(said))
        return HostCall(moment, event, text(said, self.session), text(said, self.cwd), tool, text(said, self.call))
