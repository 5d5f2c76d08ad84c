"""Resolves settings: the brain, its key and endpoint, and what forbids replication.

The only reader of the environment, the key file and the user's consent. What can change while a process runs (key,
consent, switches) is read again by its function; everything else is resolved once into an immutable `Settings`. The
precedence is argument, environment variable, configuration file (`config_file`), default. Nothing here writes: consent
is never changed, and no key is put into a brain directory. Partner: `brain`, which calls `why_local` before anything
leaves the machine.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from gradata.config.config_file import (
    BY_NAME,
    CHECKED,
    CONFIG_NAME,
    DEFAULT_ENDPOINT,
    SETTINGS,
    Config,
    ConfigFile,
    ConfigTrouble,
    Known,
    Value,
    of_variable,
)
from replicator.errors import ConfigurationError

__all__ = [
    "DEFAULT_ENDPOINT",
    "ReplicationForbidden",
    "Settings",
    "consent",
    "host_forbids_threads",
    "refusal",
    "why_local",
]

BRAIN_VARIABLES = BY_NAME["brain"].variables
KEY_VARIABLE = "GRADATA_API_KEY"
WRITE_THROUGH_OFF = "GRADATA_DISABLE_WRITE_THROUGH"
CLOUD_OFF = "GRADATA_CLOUD_SYNC_DISABLE"
CONSENT_FILE = "cloud-config.json"

KEY_FILE_BYTES_MAX = 4096
CONSENT_FILE_BYTES_MAX = 1024 * 1024

NO_KEY = "no API key"
SAVE_A_KEY = "mkdir -p ~/.gradata && (umask 077; cat > ~/.gradata/key)"


@dataclass(frozen=True, slots=True)
class ReplicationForbidden:
    """Why nothing is replicated from this process. `by_choice`: somebody configured it, so it is no warning.

    `for_good`: this process's environment or host forbids it, and no file can change that.
    """

    why: str
    hint: str
    by_choice: bool = True
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting as shown to people. `origin`: the argument, variable or file it comes from, or "default"."""

    name: str
    value: Value | None
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of one brain. Contains no key that a repr or a traceback could show.

    The switches are not part of it: `off()` returns their present state.
    """

    brain_dir: str
    endpoint: str = DEFAULT_ENDPOINT
    key_file: str = ""
    home: str = ""
    backlog_records_max: int = 1_000
    backlog_warn_s: float = 60.0
    silent_s: float = 86_400.0
    capture: str = "corrections"
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    _key: str | None = field(default=None, repr=False, compare=False)
    _environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    _files: tuple[ConfigFile, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def resolve(
        cls,
        brain_dir: str | os.PathLike[str] | None = None,
        endpoint: str | None = None,
        key: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Resolve the settings: argument, environment, configuration file (for the key: file, then environment).

        Never raises. If a file or variable is invalid, `trouble()` says so and nothing leaves the machine, but
        recording continues. `endpoint` is checked by `replicator.sink.check_endpoint`, not here.
        """
        home = environ.get("HOME") or os.path.expanduser("~")
        user = ConfigFile(os.path.join(home, ".gradata", CONFIG_NAME), of_brain=False)
        said = None if brain_dir is None else os.fspath(brain_dir)
        place, origins = _found(BY_NAME["brain"], said, environ, (user.read(),)), {}
        directory = os.path.abspath(_expand(str(place.value), home))
        own = ConfigFile(os.path.join(directory, CONFIG_NAME), of_brain=True)
        files = (user,) if own.path == user.path else (own, user)
        configs = tuple(file.read() for file in files)
        found = {known.name: _found(known, None, environ, configs) for known in SETTINGS}
        found |= {"brain": place, "endpoint": _found(BY_NAME["endpoint"], endpoint, environ, configs)}
        origins = {name: each.origin for name, each in found.items()}
        return cls(
            brain_dir=directory,
            home=home,
            endpoint=str(found["endpoint"].value),
            key_file=_expand(str(found["key_file"].value), home),
            backlog_records_max=int(found["backlog_records_max"].value or 0),
            backlog_warn_s=float(found["backlog_warn_s"].value or 0),
            silent_s=float(found["silent_s"].value or 0),
            capture=str(found["capture"].value),
            origins=origins,
            _key=key,
            _environ=environ,
            _files=files,
        )

    # ------------------------------------------------------------------------------ as they are now

    def configs(self) -> tuple[Config, ...]:
        """The current configuration files, the brain's own first. Costs one `stat` each."""
        return tuple(file.read() for file in self._files)

    def trouble(self) -> ConfigTrouble | None:
        """What is wrong with a configuration file or variable now, or None."""
        return _trouble(self._environ, self.configs())

    def off(self) -> ReplicationForbidden | None:
        """Why a switch forbids replication from this process now, or None. Takes microseconds.

        A running process sees the variables of its own environment, and both configuration files.
        """
        configs = self.configs()
        return self._kept_here(configs) or _switched_off(_switch("write_through", self._environ, configs))

    def kept_here(self) -> ReplicationForbidden | None:
        """Why a switch forbids that anything leaves this machine, or None. Consent is checked separately."""
        return self._kept_here(self.configs())

    def _kept_here(self, configs: tuple[Config, ...]) -> ReplicationForbidden | None:
        if (wrong := _trouble(self._environ, configs)) is not None:
            return ReplicationForbidden(wrong.why, wrong.hint, by_choice=False)
        return _switched_off(_switch("cloud_sync", self._environ, configs))

    @property
    def write_through(self) -> bool:
        """Whether the switches allow a replicator in this process now."""
        return self.off() is None

    @property
    def why_not(self) -> str | None:
        """The reason as text."""
        off = self.off()
        return None if off is None else off.why

    @property
    def cloud_off(self) -> bool:
        """Whether a switch keeps everything on this machine now."""
        return self.kept_here() is not None

    def shown(self) -> tuple[ShownSetting, ...]:
        """Every setting with its origin. Of the key only the origin."""
        configs = self.configs()
        now = {each: _switch(each, self._environ, configs) for each in ("write_through", "cloud_sync")}
        values = {"brain": self.brain_dir}
        rows = [
            now.get(each.name) or ShownSetting(each.name, values.get(each.name, getattr(self, each.name, None)), origin)
            for each in SETTINGS
            for origin in (self.origins.get(each.name, "default"),)
        ]
        source = self.key_source()
        return (*rows, ShownSetting("key", None if source is None else "(not shown)", source or "nowhere"))

    def key_source(self) -> str | None:
        """The origin of the key now, or None."""
        if self._key:
            return "argument"
        if _first_line(self.key_file):
            return self.key_file
        return KEY_VARIABLE if self._environ.get(KEY_VARIABLE, "").strip() else None

    def read_key(self) -> str | None:
        """The current key: argument, else first line of the key file, else environment; None if there is none.

        Not checked here (`replicator.sink.check_key` does that), never logged.
        """
        return self._key or _first_line(self.key_file) or self._environ.get(KEY_VARIABLE, "").strip() or None

    def key_file_trouble(self) -> str | None:
        """What is wrong with the key file's mode, or None if it is private or absent."""
        try:
            mode = os.stat(self.key_file).st_mode
        except OSError:
            return None
        if os.name != "posix" or not mode & (stat.S_IRWXG | stat.S_IRWXO):
            return None
        return f"{self.key_file} can be read by others; run: chmod 600 {self.key_file}"


def supervised(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> tuple[str | None, float | None]:
    """Address and interval (seconds) of the supervisor's notifications (sd_notify(3))."""
    mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid() if pid is None else pid))
    every = environ.get("WATCHDOG_USEC", "") if mine else ""
    return environ.get("NOTIFY_SOCKET") or None, int(every) / 1e6 if every.isdecimal() and int(every) else None


def refusal(settings: Settings) -> ReplicationForbidden | None:
    """Why nothing may leave this machine now (a switch or the user's consent), or None."""
    return settings.kept_here() or consent(settings.brain_dir)


def why_local(settings: Settings) -> ReplicationForbidden | None:
    """Why this brain must not or cannot replicate from this process now, or None. Reads files again."""
    if (off := settings.off() or consent(settings.brain_dir)) is not None:
        return off
    if (host := host_forbids_threads()) is not None:
        return ReplicationForbidden(
            host,
            f"run beside it: gradata replicate --follow --brain {settings.brain_dir}",
            by_choice=False,
            for_good=True,
        )
    if settings.read_key() is None:
        return ReplicationForbidden(NO_KEY, f"paste the key after: {SAVE_A_KEY}", by_choice=False)
    return None


def consent(brain_dir: str) -> ReplicationForbidden | None:
    """The user's opt-out in cloud-config.json, or None.

    Anything but a plain yes is an opt-out. That includes a file that is no JSON object or cannot be read, because it
    may have been meant as one.
    """
    path = os.path.join(brain_dir, CONSENT_FILE)
    config = _consent_file(path)
    if not isinstance(config, dict):
        return config
    if config.get("sync_enabled", True) is not True:
        return ReplicationForbidden(f"sync_enabled is not true in {path}", "it is yours to change")
    if config.get("sync_mode", "full") not in ("full", None, ""):
        return ReplicationForbidden(f"sync_mode is not full in {path}", "it is yours to change")
    return None


def stale_token(settings: Settings) -> str | None:
    """The file of an older version that contains a token other than the key, or None. Never the token."""
    path = os.path.join(settings.brain_dir, CONSENT_FILE)
    config = _consent_file(path)
    token = config.get("token") if isinstance(config, dict) else None
    return path if isinstance(token, str) and token.strip() not in ("", settings.read_key()) else None


def _consent_file(path: str) -> dict[str, object] | ReplicationForbidden | None:
    """The content, None if there is no file, or why it cannot be parsed."""
    try:
        with open(path, "rb") as file:
            text = file.read(CONSENT_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(path, error.strerror or type(error).__name__)
    if len(text) > CONSENT_FILE_BYTES_MAX:
        return _unreadable(path, "it is larger than 1 MiB")
    try:
        config = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return _unreadable(path, "it is no JSON")
    return config if isinstance(config, dict) else _unreadable(path, "it is no JSON object")


def host_forbids_threads(modules: Mapping[str, object] = sys.modules) -> str | None:
    """Why an embedded thread would hang or not run in this host, or None.

    gevent and eventlet replace the threading module's primitives; uWSGI without --enable-threads never runs a second
    thread. Looks only at modules that the host has loaded already.
    """
    gevent = modules.get("gevent.monkey")
    if gevent is not None and _patched(gevent, "is_module_patched", "threading"):
        return "the host is patched by gevent"
    eventlet = modules.get("eventlet.patcher")
    if eventlet is not None and _patched(eventlet, "is_monkey_patched", "thread"):
        return "the host is patched by eventlet"
    options = getattr(modules.get("uwsgi"), "opt", None)
    if isinstance(options, Mapping) and not _uwsgi_threads(options):
        return "the host is uWSGI without --enable-threads"
    return None


def _patched(module: object, question: str, name: str) -> bool:
    ask = getattr(module, question, None)
    return bool(callable(ask) and ask(name))


def _uwsgi_threads(options: Mapping[object, object]) -> bool:
    """`threads` implies `enable-threads`. Names and values are str or bytes, by uWSGI's version."""
    plain = {_plain(name): _plain(value) for name, value in options.items()}
    return "threads" in plain or plain.get("enable-threads", "0").lower() not in ("", "0", "false", "off", "no", "none")


def _plain(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _unreadable(path: str, why: str) -> ReplicationForbidden:
    return ReplicationForbidden(
        f"{path} cannot be understood as consent: {why}", "fix or remove that file", by_choice=False
    )


def checked(settings: Settings) -> Settings:
    """Return the settings, or raise ConfigurationError if a file or variable is invalid."""
    if (wrong := settings.trouble()) is not None:
        raise ConfigurationError(wrong.why, hint=wrong.hint)
    return settings


def _found(known: Known, argument: str | None, environ: Mapping[str, str], configs: tuple[Config, ...]) -> ShownSetting:
    """The first value found. Invalid values are skipped here; `Settings.trouble` reports them."""
    if argument:
        return ShownSetting(known.name, argument, "argument")
    for variable in known.variables:
        if text := environ.get(variable, "").strip():
            value = of_variable(known, variable, text)
            if not isinstance(value, ConfigTrouble):
                return ShownSetting(known.name, value, variable)
    for config in configs:
        if known.name in config.values:
            return ShownSetting(known.name, config.values[known.name], config.path)
    return ShownSetting(known.name, known.default, "default")


def _trouble(environ: Mapping[str, str], configs: tuple[Config, ...]) -> ConfigTrouble | None:
    for config in configs:
        if config.trouble is not None:
            return config.trouble
    for known in CHECKED:
        for variable in known.variables:
            text = environ.get(variable, "").strip()
            value = of_variable(known, variable, text) if text else None
            if isinstance(value, ConfigTrouble):
                return value
    return None


def _switch(name: str, environ: Mapping[str, str], configs: tuple[Config, ...]) -> ShownSetting:
    if name == "cloud_sync":  # a no stands, whatever else is said
        for config in configs:
            if config.values.get(name) is False:
                return ShownSetting(name, False, config.path)
    return _found(BY_NAME[name], None, environ, configs)


def _switched_off(switch: ShownSetting) -> ReplicationForbidden | None:
    if switch.value is not False:
        return None
    if switch.origin in BY_NAME[switch.name].variables:
        return ReplicationForbidden(f"{switch.origin} is set", "unset it to replicate again", for_good=True)
    return ReplicationForbidden(
        f"{switch.name} is false in {switch.origin}", "set it to true, or remove it, to replicate again"
    )


def _expand(path: str, home: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~" + os.sep) else path


def _first_line(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.read(KEY_FILE_BYTES_MAX)
    except OSError:
        return None  # missing or unreadable: the environment is asked next, and doctor names the file
    return head.decode("utf-8", "replace").lstrip("\ufeff").partition("\n")[0].strip() or None
