"""Where a brain is, with which key and to which cloud it replicates, and what forbids that.

The only reader of the environment, of the key file and of the user's consent. What can change while a process
runs (key, consent) is read afresh by its function; all else is resolved once into a frozen `Settings`.
Nothing here writes: consent is never flipped, and no key is ever put into a brain directory.
Partner: `brain`, which asks `why_local` before anything leaves the machine.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_ENDPOINT = "https://api.gradata.ai/api/v1"
BRAIN_VARIABLES = ("BRAIN_DIR", "GRADATA_BRAIN_DIR", "GRADATA_BRAIN")
ENDPOINT_VARIABLES = ("GRADATA_ENDPOINT", "GRADATA_CLOUD_API_BASE")
KEY_VARIABLE = "GRADATA_API_KEY"
KEY_FILE_VARIABLES = ("GRADATA_KEY_FILE",)
WRITE_THROUGH_OFF = "GRADATA_DISABLE_WRITE_THROUGH"
CLOUD_OFF = "GRADATA_CLOUD_SYNC_DISABLE"
CONSENT_FILE = "cloud-config.json"

KEY_FILE_BYTES_MAX = 4096
CONSENT_FILE_BYTES_MAX = 1024 * 1024

NO_KEY = "no API key"
SAVE_A_KEY = "mkdir -p ~/.gradata && (umask 077; cat > ~/.gradata/key)"


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Why nothing is replicated from this process. `by_choice`: someone set it so, hence nothing to warn of."""

    why: str
    hint: str
    by_choice: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What was resolved for one brain. Holds no key that a repr or a traceback could show.

    `write_through` is False when the environment forbids the thread; `why_not` says which variable does.
    `cloud_off`: nothing may leave the machine by any path, an explicit `gradata replicate` included.
    """

    brain_dir: str
    endpoint: str = DEFAULT_ENDPOINT
    write_through: bool = True
    why_not: str | None = None
    cloud_off: bool = False
    key_file: str = ""
    _key: str | None = field(default=None, repr=False, compare=False)
    _environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def resolve(
        cls,
        brain_dir: str | os.PathLike[str] | None = None,
        endpoint: str | None = None,
        key: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """The settings by FACTS' order: argument, then environment (for the key: file, then environment).

        Touches no file. `endpoint` is not checked here: `replicator.sink.check_endpoint` does, before use.
        """
        home = environ.get("HOME") or os.path.expanduser("~")
        chosen = brain_dir or _first(environ, BRAIN_VARIABLES) or os.path.join(home, ".gradata", "brain")
        off = next((name for name in (CLOUD_OFF, WRITE_THROUGH_OFF) if _is_on(environ.get(name))), None)
        return cls(
            brain_dir=os.path.abspath(_expand(os.fspath(chosen), home)),
            endpoint=endpoint or _first(environ, ENDPOINT_VARIABLES) or DEFAULT_ENDPOINT,
            write_through=off is None,
            why_not=off and f"{off} is set",
            cloud_off=off == CLOUD_OFF,
            key_file=_expand(_first(environ, KEY_FILE_VARIABLES) or os.path.join(home, ".gradata", "key"), home),
            _key=key,
            _environ=environ,
        )

    def read_key(self) -> str | None:
        """The key as it is now: argument, else the key file's first line, else the environment; None: none.

        Never checked here (`replicator.sink.check_key` does), never logged. Safe and cheap to repeat.
        """
        return self._key or _first_line(self.key_file) or self._environ.get(KEY_VARIABLE, "").strip() or None

    def key_file_trouble(self) -> str | None:
        """What is wrong with the key file's mode, in words; None if it is private or not there."""
        try:
            mode = os.stat(self.key_file).st_mode
        except OSError:
            return None
        if os.name != "posix" or not mode & (stat.S_IRWXG | stat.S_IRWXO):
            return None
        return f"{self.key_file} can be read by others; run: chmod 600 {self.key_file}"


def supervised(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> tuple[str | None, float | None]:
    """Where the one who started this process wants to hear of it, and how often, in seconds (sd_notify(3))."""
    mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid() if pid is None else pid))
    every = environ.get("WATCHDOG_USEC", "") if mine else ""
    return environ.get("NOTIFY_SOCKET") or None, int(every) / 1e6 if every.isdecimal() and int(every) else None


def why_local(settings: Settings) -> Forbidden | None:
    """Why this brain must not, or cannot, replicate from this process now; None: it may. Reads files afresh."""
    if settings.why_not is not None:
        return Forbidden(settings.why_not, "unset it to replicate again")
    if (refusal := consent(settings.brain_dir)) is not None:
        return refusal
    if (host := host_forbids_threads()) is not None:
        return Forbidden(
            host, f"run beside it: gradata replicate --follow --brain {settings.brain_dir}", by_choice=False
        )
    if settings.read_key() is None:
        return Forbidden(NO_KEY, f"paste the key after: {SAVE_A_KEY}", by_choice=False)
    return None


def consent(brain_dir: str) -> Forbidden | None:
    """The user's refusal in an existing cloud-config.json; None: none is recorded.

    Anything but a plain yes is a no: a file that is no JSON object, or that cannot be read, forbids as well,
    because it may have been meant to. Costs one failed open when there is no such file.
    """
    path = os.path.join(brain_dir, CONSENT_FILE)
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
    if not isinstance(config, dict):
        return _unreadable(path, "it is no JSON object")
    if config.get("sync_enabled", True) is not True:
        return Forbidden(f"sync_enabled is not true in {path}", "it is yours to change")
    if config.get("sync_mode", "full") not in ("full", None, ""):
        return Forbidden(f"sync_mode is not full in {path}", "it is yours to change")
    return None


def host_forbids_threads(modules: Mapping[str, object] = sys.modules) -> str | None:
    """Why an embedded thread would freeze or fall silent in this host, in words; None: it would not.

    gevent and eventlet replace the threading module's primitives; uWSGI without --enable-threads never runs a
    second thread. Looks only at what the host has loaded already.
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


def _unreadable(path: str, why: str) -> Forbidden:
    return Forbidden(f"{path} cannot be understood as consent: {why}", "mend or remove that file", by_choice=False)


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _is_on(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true", "yes", "on")


def _expand(path: str, home: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~" + os.sep) else path


def _first_line(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.read(KEY_FILE_BYTES_MAX)
    except OSError:
        return None  # missing or unreadable: the environment is asked next, and doctor names the file
    return head.decode("utf-8", "replace").lstrip("\ufeff").partition("\n")[0].strip() or None
