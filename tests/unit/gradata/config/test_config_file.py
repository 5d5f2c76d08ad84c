"""Config files: what they may say, what of it is an error, and that a change is seen at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradata.config.config_file import BY_NAME, SETTINGS, ConfigFile, ConfigTrouble, of_variable, parse
from gradata.config.settings import Settings, checked, refusal, why_local
from replicator.errors import ConfigurationError

CANARY = "gk_live_canary0123456789"


def trouble(text: str, *, of_brain: bool = False) -> ConfigTrouble:
    """What is wrong with this text."""
    found = parse(text.encode(), "/x/config.toml", of_brain=of_brain).trouble
    assert found is not None
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an empty `.gradata` and a brain."""
    (tmp_path / ".gradata" / "brain").mkdir(parents=True)
    return tmp_path


def resolved(home: Path, **environ: str) -> Settings:
    """The settings of that home's brain."""
    return Settings.resolve(environ={"HOME": str(home), **environ})


def user_says(home: Path, text: str) -> None:
    """Write the user's file."""
    (home / ".gradata" / "config.toml").write_text(text)


def brain_says(home: Path, text: str) -> None:
    """Write the brain's own file."""
    (home / ".gradata" / "brain" / "config.toml").write_text(text)


def test_a_file_sets_every_setting() -> None:
    """Each known name is taken with a value of its kind, and a BOM is no obstacle."""
    text = (
        '\ufeffbrain = "~/b"\nkey_file = "/run/key"\n'
        'endpoint = "https://c.example"\nwrite_through = false\ncloud_sync = true\n'
        "backlog_records_max = 5\nbacklog_warn_s = 1.5\nsilent_s = 60\ncapture = 'all'\n"
    )
    config = parse(text.encode(), "/x", of_brain=False)
    assert config.trouble is None
    assert set(config.values) == set(BY_NAME)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("writethrough", "write_through"), ("write-through", "write_through"), ("endpiont", "endpoint"),
     ("Cloud_Sync", "cloud_sync"), ("backlog_max", "backlog_records_max"), ("xyzzy", None)],
)  # fmt: skip
def test_an_unknown_name_is_an_error_with_the_nearest(name: str, nearest: str | None) -> None:
    """A mistyped switch was meant: it is an error that says what was probably meant."""
    why = trouble(f"{name} = 1").why
    assert f"`{name}`" in why
    assert nearest is None or f"did you mean `{nearest}`?" in why
    assert nearest is not None or "did you mean" not in why


@pytest.mark.parametrize(
    "text",
    ['write_through = "no"', "write_through = 0", "backlog_records_max = 0", "backlog_records_max = 1.5",
     "backlog_records_max = true", "silent_s = -1", "silent_s = inf", "silent_s = nan", 'endpoint = ""', "brain = 3"],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_an_error(text: str) -> None:
    """Nothing is guessed."""
    assert f"`{text.partition(' ')[0]}` must be" in trouble(text).why


@pytest.mark.parametrize("of_brain", [False, True])
@pytest.mark.parametrize("name", ["key", "api_key", "API-KEY", "token", "endpoint", "brian"])
def test_f55_a_key_in_a_file_is_an_error_that_does_not_show_it(name: str, of_brain: bool) -> None:
    """By its name or by its form; told where it belongs, and never printed."""
    wrong = trouble(f'"{name}" = "{CANARY}"', of_brain=of_brain)
    assert "a key never stands in a config file" in wrong.why
    assert "~/.gradata/key" in wrong.hint
    assert ("revoke" in wrong.hint) == of_brain
    assert CANARY not in wrong.why + wrong.hint


@pytest.mark.parametrize("text", [f'key = "{CANARY}', f"{CANARY}", f"key = {CANARY}", "[[["])
def test_f55_broken_toml_is_told_without_its_text(text: str) -> None:
    """The parser's message may quote what stands there."""
    wrong = trouble(text)
    assert "it is no TOML: see " in wrong.why
    assert "canary" not in wrong.why + wrong.hint


def test_odd_files_are_told() -> None:
    """No UTF-8, too large, a table: each in words."""
    assert "UTF-8" in (parse(b"\xff", "/x", of_brain=False).trouble or ConfigTrouble("", "")).why
    assert "64 KiB" in trouble("#" * 70_000).why
    assert "`doctor`" in trouble("[doctor]\nsilent_s = 1").why
    assert "control" not in trouble('"a\\u001b[2J" = 1').why
    assert "\x1b" not in trouble('"a\\u001b[2J" = 1').why


@pytest.mark.parametrize("name", ["brain", "endpoint", "key_file"])
def test_a_brain_says_neither_where_it_is_nor_where_its_owner_s_key_goes(name: str) -> None:
    """A brain that was copied from a stranger must not send the key to them."""
    assert f"`{name}` is not for a brain to say" in trouble(f'{name} = "https://evil.example"', of_brain=True).why


def test_argument_environment_brain_user_default(home: Path) -> None:
    """Each source beats those behind it, and the origin is named."""
    assert resolved(home).origins["endpoint"] == "default"
    user_says(home, 'endpoint = "https://user.example"\nsilent_s = 1\nbacklog_warn_s = 1\n')
    brain_says(home, "silent_s = 2\n")
    found = resolved(home, GRADATA_BACKLOG_WARN_S="3")
    assert (found.endpoint, found.silent_s, found.backlog_warn_s) == ("https://user.example", 2, 3)
    assert found.origins["endpoint"] == str(home / ".gradata" / "config.toml")
    assert found.origins["silent_s"] == str(home / ".gradata" / "brain" / "config.toml")
    assert found.origins["backlog_warn_s"] == "GRADATA_BACKLOG_WARN_S"
    assert resolved(home, GRADATA_ENDPOINT="https://e.example").endpoint == "https://e.example"
    mine = Settings.resolve(None, "https://a.example", environ={"HOME": str(home)})
    assert (mine.endpoint, mine.origins["endpoint"]) == ("https://a.example", "argument")


def test_the_user_s_file_says_where_the_brain_is(home: Path) -> None:
    """Behind the variables, before the default; `~` is the home."""
    user_says(home, 'brain = "~/elsewhere"')
    assert resolved(home).brain_dir == str(home / "elsewhere")
    assert resolved(home, GRADATA_BRAIN="/b").brain_dir == "/b"


def test_the_key_file_may_be_elsewhere(home: Path) -> None:
    """A path is no key: the user's file may name it, behind the variable."""
    (home / "mounted").write_text(CANARY)
    user_says(home, 'key_file = "~/mounted"')
    assert resolved(home).read_key() == CANARY
    assert resolved(home).key_source() == str(home / "mounted")
    assert resolved(home, GRADATA_KEY_FILE="/nowhere").read_key() is None


def test_a_wrong_file_keeps_everything_here_and_recording_goes_on(home: Path) -> None:
    """What was mistyped may have been a no: nothing leaves, commands refuse, nothing raises in a program."""
    user_says(home, "writethrough = false")
    found = Settings.resolve(key="k", environ={"HOME": str(home)})
    assert found.write_through is False
    assert found.cloud_off is True
    local = why_local(found)
    assert local is not None
    assert (local.by_choice, "did you mean" in local.why) == (False, True)
    assert refusal(found) == local
    with pytest.raises(ConfigurationError, match="did you mean"):
        checked(found)


def test_a_wrong_variable_is_told(home: Path) -> None:
    """Numbers in the environment are checked as well."""
    wrong = resolved(home, GRADATA_SILENT_S="soon").trouble()
    assert wrong is not None
    assert "GRADATA_SILENT_S must be" in wrong.why
    assert resolved(home, GRADATA_SILENT_S="soon").silent_s == 86_400


def test_f50_the_switches_are_seen_as_they_are_now(home: Path) -> None:
    """Settings that were resolved before see a file that comes, changes and goes, and the process's own variables."""
    environ = {"HOME": str(home)}
    found = Settings.resolve(key="k", environ=environ)
    assert found.off() is None
    brain_says(home, "write_through = false")
    assert (found.why_not, found.cloud_off) == (f"write_through is false in {home}/.gradata/brain/config.toml", False)
    environ["GRADATA_DISABLE_WRITE_THROUGH"] = "0"  # said plainly, it beats the file
    assert found.off() is None
    environ["GRADATA_DISABLE_WRITE_THROUGH"] = "1"
    assert found.why_not == "GRADATA_DISABLE_WRITE_THROUGH is set"
    del environ["GRADATA_DISABLE_WRITE_THROUGH"]
    brain_says(home, "write_through = true")
    assert found.off() is None
    user_says(home, "write_through = false")
    assert found.off() is None  # the brain's own file is asked first
    (home / ".gradata" / "brain" / "config.toml").unlink()
    assert not found.write_through


def test_f52_a_no_to_the_cloud_stands_wherever_it_is_said(home: Path) -> None:
    """Neither a brain's file nor a variable takes back what the user's file forbids."""
    user_says(home, "cloud_sync = false")
    brain_says(home, "cloud_sync = true")
    found = resolved(home, GRADATA_CLOUD_SYNC_DISABLE="0")
    assert found.cloud_off
    assert refusal(found) is not None


def test_a_file_that_cannot_be_read_forbids(home: Path) -> None:
    """It may say no. A link to itself is one that even root cannot read."""
    path = home / ".gradata" / "config.toml"
    path.symlink_to(path)
    assert resolved(home).cloud_off


def test_a_directory_in_its_place_is_told(home: Path) -> None:
    """Whatever is there and cannot be read is told, not passed over."""
    (home / ".gradata" / "config.toml").mkdir()
    wrong = resolved(home).trouble()
    assert wrong is not None
    assert "cannot be read" in wrong.why


def test_an_unchanged_file_is_not_parsed_again(home: Path) -> None:
    """What is asked at each append costs a stat."""
    user_says(home, "silent_s = 1")
    file = ConfigFile(str(home / ".gradata" / "config.toml"), of_brain=False)
    assert file.read() is file.read()


def test_every_setting_is_shown_with_its_origin_and_no_key(home: Path) -> None:
    """What `gradata config` prints."""
    shown = Settings.resolve(key=CANARY, environ={"HOME": str(home)}).shown()
    assert [each.name for each in shown] == [*BY_NAME, "key"]
    assert CANARY not in repr(shown)
    assert shown[-1].origin == "argument"
    assert resolved(home).shown()[-1].value is None
    assert resolved(home, GRADATA_API_KEY=CANARY).shown()[-1].origin == "GRADATA_API_KEY"


def test_defaults_are_of_their_kind() -> None:
    """And what a variable says becomes one."""
    for known in SETTINGS:
        text = "all" if known.kind == "capture" else "7"
        assert isinstance(of_variable(known, "X", text), type(known.default))
