"""The settings, and the two files that set them: `~/.gradata/config.toml` and `config.toml` in the brain's directory.

A file that cannot be parsed, an unknown name or a value of the wrong type is an error that names the file and the
nearest valid name: a mistyped switch was meant. No file contains a key. A brain's own file sets neither the brain
directory nor the endpoint: brains are copied, shared and checked out, and a copy must not send its owner's key to a
stranger. Partner: `settings`, the only reader of the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CONFIG_NAME = "config.toml"
CONFIG_BYTES_MAX = 64 * 1024
DEFAULT_ENDPOINT = "https://api.gradata.ai/api/v1"
SECRETS = ("key", "api_key", "apikey", "token", "secret", "password", "bearer", "authorization")
KEY_PREFIXES = ("gk_live_", "gdk_live_", "gd_live_")

SettingKind = Literal["text", "switch", "count", "seconds", "capture"]
Value = str | bool | int | float
_WANTED: dict[SettingKind, str] = {
    "text": "a text in quotes",
    "switch": "true or false",
    "count": "a whole number above 0",
    "seconds": "a number of seconds above 0",
    "capture": '"corrections" or "all"',
}
CAPTURES = ("corrections", "all")


@dataclass(frozen=True, slots=True)
class Known:
    """One setting. `variables` in order of precedence; `of_brain`: a brain's own file may set it."""

    name: str
    kind: SettingKind
    default: Value
    variables: tuple[str, ...]
    of_brain: bool
    meaning: str


SETTINGS = (
    Known("brain", "text", "~/.gradata/brain", ("BRAIN_DIR", "GRADATA_BRAIN_DIR", "GRADATA_BRAIN"), False,
          "the brain's directory"),
    Known("key_file", "text", "~/.gradata/key", ("GRADATA_KEY_FILE",), False,
          "the file whose first line is the key"),
    Known("endpoint", "text", DEFAULT_ENDPOINT, ("GRADATA_ENDPOINT", "GRADATA_CLOUD_API_BASE"), False,
          "the cloud that brains replicate to"),
    Known("write_through", "switch", True, ("GRADATA_DISABLE_WRITE_THROUGH",), True,
          "whether programs replicate what they record; off: hook and cron do"),
    Known("cloud_sync", "switch", True, ("GRADATA_CLOUD_SYNC_DISABLE",), True,
          "whether anything may leave this machine; a no stands, wherever it is said"),
    Known("backlog_records_max", "count", 1_000, ("GRADATA_BACKLOG_RECORDS_MAX",), True,
          "doctor fails above this many pending records"),
    Known("backlog_warn_s", "seconds", 60.0, ("GRADATA_BACKLOG_WARN_S",), True,
          "doctor warns when records wait longer"),
    Known("silent_s", "seconds", 86_400.0, ("GRADATA_SILENT_S",), True,
          "doctor warns when nothing was captured for longer"),
    Known("capture", "capture", "corrections", ("GRADATA_CAPTURE",), True,
          "what hooks record: a person's corrections of what an agent wrote, or all edits, the agent's too"),
)  # fmt: skip
"""All settings except the key, which has its own file."""
BY_NAME = {known.name: known for known in SETTINGS}
CHECKED = tuple(known for known in SETTINGS if known.kind in ("count", "seconds", "capture"))
"""Settings whose variables can have an invalid value."""


@dataclass(frozen=True, slots=True)
class ConfigTrouble:
    """Why a setting cannot be used: what, where, and how to fix it."""

    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Config:
    """The content of one file. With a `trouble` it has no values."""

    path: str
    exists: bool = False
    values: Mapping[str, Value] = field(default_factory=dict)
    trouble: ConfigTrouble | None = None


class ConfigFile:
    """One file, read again when it has changed; checking costs one `stat`. Thread-safe."""

    def __init__(self, path: str, *, of_brain: bool) -> None:
        self.path = path
        self._of_brain = of_brain
        self._seen: tuple[object, Config] | None = None

    def read(self) -> Config:
        """The current content. Never raises: an invalid file is a `trouble`."""
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return Config(self.path)
        except OSError as error:
            return self._unreadable(error)
        mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        seen = self._seen
        if seen is not None and seen[0] == mark:
            return seen[1]
        try:
            with open(self.path, "rb") as file:
                text = file.read(CONFIG_BYTES_MAX + 1)
        except OSError as error:
            return self._unreadable(error)
        config = parse(text, self.path, of_brain=self._of_brain)
        self._seen = (mark, config)
        return config

    def _unreadable(self, error: OSError) -> Config:
        why = f"{self.path} cannot be read: {error.strerror or type(error).__name__}"
        return Config(self.path, True, trouble=ConfigTrouble(why, f"ls -l '{self.path}'; fix or remove it"))


def parse(text: bytes, path: str, *, of_brain: bool) -> Config:
    """Parse the text of a file. Pure."""
    import tomllib  # here: most brains have no such file

    def wrong(why: str, hint: str = f"edit {path}") -> Config:
        return Config(path, True, trouble=ConfigTrouble(f"{path}: {why}", hint))

    if len(text) > CONFIG_BYTES_MAX:
        return wrong("it is larger than 64 KiB")
    try:
        said = tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return wrong("it is no UTF-8 text")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return wrong(f"it is no TOML: {_without_values(error)}")
    for name, value in said.items():
        if _is_secret(name, value):
            shared = ", and revoke it if this directory was ever shared" if of_brain else ""
            return wrong("a key never stands in a config file", f"put it into ~/.gradata/key (mode 0600){shared}")
        known = BY_NAME.get(name)
        if known is None:
            return wrong(*_unknown(name, path))
        if of_brain and not known.of_brain:
            return wrong(f"`{name}` is not for a brain to say", f"move it to ~/.gradata/{CONFIG_NAME}")
        if not fits(known.kind, value):
            return wrong(f"`{name}` must be {_WANTED[known.kind]}")
    return Config(path, True, said)


def _without_values(error: Exception) -> str:
    """The position of a TOML error, without the text there: it may be a key."""
    _, at, place = str(error).rpartition("(at ")
    return f"see {place.removesuffix(')')}" if at else "see its structure"


def _is_secret(name: str, value: object) -> bool:
    return name.lower().replace("-", "_") in SECRETS or (isinstance(value, str) and value.startswith(KEY_PREFIXES))


def _unknown(name: str, path: str) -> tuple[str, str]:
    from difflib import get_close_matches

    near = get_close_matches(name.lower().replace("-", "_"), BY_NAME, 1, 0.5)
    shown = name if name.isprintable() and len(name) <= 64 else ascii(name[:64])
    if near:
        return f"there is no setting `{shown}`; did you mean `{near[0]}`?", f"edit {path}"
    return f"there is no setting `{shown}`", "all of them: gradata config"


def fits(kind: SettingKind, value: object) -> bool:
    """Whether a value is of this kind."""
    match kind:
        case "text":
            return isinstance(value, str) and bool(value.strip())
        case "switch":
            return isinstance(value, bool)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool) and value > 0
        case "seconds":
            return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
        case "capture":
            return value in CAPTURES


def of_variable(known: Known, variable: str, text: str) -> Value | ConfigTrouble:
    """Parse the text of a variable. Switch variables turn things off; only a plain yes counts there."""
    match known.kind:
        case "text":
            return text
        case "switch":
            return text.lower() not in ("1", "true", "yes", "on")
        case "capture":
            return (
                text
                if fits("capture", text)
                else ConfigTrouble(f"{variable} must be {_WANTED['capture']}", "correct it")
            )
        case "count" | "seconds":
            try:
                value = int(text) if known.kind == "count" else float(text)
            except ValueError:
                value = 0
            if fits(known.kind, value):
                return value
            return ConfigTrouble(f"{variable} must be {_WANTED[known.kind]}", f"unset {variable}, or correct it")
