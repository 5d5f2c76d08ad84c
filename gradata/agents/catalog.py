"""The agents that can be given a memory, by name."""

from __future__ import annotations

from collections.abc import Mapping

from gradata.agents.hosts.claude_code import CLAUDE_CODE
from gradata.agents.hosts.codex import CODEX
from gradata.agents.hosts.cursor import CURSOR
from gradata.agents.hosts.gemini import GEMINI
from gradata.agents.hosts.hermes import HERMES
from gradata.agents.hosts.opencode import OPENCODE
from gradata.agents.model import Agent

AGENTS: Mapping[str, Agent] = {each.name: each for each in (CLAUDE_CODE, CODEX, GEMINI, CURSOR, HERMES, OPENCODE)}
