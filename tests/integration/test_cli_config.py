"""`gradata config`, and what commands make of a file that is wrong."""

from __future__ import annotations

from gradata.config.config_file import BY_NAME
from tests.support.cli_runner import CommandLine, last_lines

CANARY = "gk_live_canary0123456789"


def test_config_shows_every_setting_with_its_origin(cli: CommandLine) -> None:
    """In the documented form, for programs and people; the key is never shown."""
    (cli.brain / "config.toml").write_text("silent_s = 5\n")
    done = cli("config", "--json", "--endpoint", "https://c.example", GRADATA_API_KEY=CANARY)
    rows = {row["name"]: row for row in done.json["settings"]}
    assert set(rows) == {*BY_NAME, "key"}
    assert (rows["brain"]["value"], rows["brain"]["origin"]) == (str(cli.brain), "GRADATA_BRAIN")
    assert (rows["endpoint"]["value"], rows["endpoint"]["origin"]) == ("https://c.example", "argument")
    assert (rows["silent_s"]["value"], rows["silent_s"]["origin"]) == (5, str(cli.brain / "config.toml"))
    assert (rows["write_through"]["value"], rows["write_through"]["origin"]) == (True, "default")
    assert rows["key"]["origin"] == "GRADATA_API_KEY"
    assert [file["exists"] for file in done.json["files"]] == [True, False]
    assert CANARY not in done.out + cli("config", GRADATA_API_KEY=CANARY).out
    words = cli("config").out.splitlines()
    assert words[0].split() == ["setting", "value", "from"]
    assert len(words) == len(BY_NAME) + 2


def test_a_file_that_is_wrong_is_wrong_usage_everywhere(cli: CommandLine) -> None:
    """Each command that uses the settings ends with 2 and the nearest name; recording goes on."""
    (cli.brain / "config.toml").write_text("write_thruogh = false\n")
    for command in (["config"], ["status"], ["replicate", "--once"]):
        done = cli(*command)
        assert done.code == 2
        assert "did you mean `write_through`?" in last_lines(done)[0]
    done = cli("correct", "--draft", "a", "--final", "b", "--json")
    assert done.json["replication"] == "off"
    assert cli.log.read_bytes().count(b"\n") == 1


def test_consent_is_shown_beside_the_settings(cli: CommandLine) -> None:
    """What the user decided elsewhere is told here, too."""
    (cli.brain / "cloud-config.json").write_text('{"sync_enabled": false}')
    assert "sync_enabled" in cli("config", "--json").json["consent_refused"]
    assert "sync_enabled" in cli("config").err
