"""`gradata install` over the SDK's entries: what it takes, what it leaves, and what disappears with the SDK."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli_runner import CommandLine

OLD = Path(__file__).parents[2] / "fixtures" / "agents" / "claude-code" / "old-all-events.before"


def test_what_only_the_sdk_has_is_said_where_its_entries_are_replaced(cli: CommandLine) -> None:
    """Doctor says it before, install when it replaces them; afterwards there is nothing to say."""
    cli("init")
    settings = cli.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_bytes(OLD.read_bytes().replace(b"/home/u/brain", str(cli.brain).encode()))
    assert "graduation of lessons" in cli("doctor").out
    installed = cli("install", "--agent", "claude-code", "--yes")
    assert (installed.code, "graduation of lessons" in installed.err) == (0, True)
    again = cli("install", "--agent", "claude-code", "--yes")
    assert (again.code, "graduation of lessons" in again.err) == (0, False)
    assert "graduation of lessons" not in cli("doctor").out
