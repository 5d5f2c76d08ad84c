"""What is left of the hook at the end of a session: graduation, and the way back to hooks.

The older hook did two things: it synced with the cloud, and it graduated lessons. The replicator does the first, so
nothing leaves by this hook, unless `GRADATA_DISABLE_WRITE_THROUGH=1` switched the replicator off: then it replicates
what waits. The second is the older SDK's: its command, kept by `gradata install`, is run as it was, with
`GRADATA_CLOUD_SYNC_DISABLE=1`, so that nothing leaves by it either.

`python -m gradata.hooks.session_close` is the older hook's name: a configuration that still has it gets this one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gradata.config import brain_dir
from gradata.config.settings import CLOUD_OFF, Settings, consent
from gradata.hints import hint_of
from replicator.errors import ReplicatorError

DRAIN_S = 5.0
GRADUATION_S = 45.0
GRADUATING = "GRADATA_GRADUATING"
"""Set for the older SDK's command: this module, found under the older name, is no graduation."""
NO_GRADUATION = 3
_QUIET = re.compile(r"(?:\s*(?:[12&]?>>?\s*/dev/null|2>&1|\|\|\s*(?:true|:|exit 0)))+\s*$")
"""How such a command may end: what it prints, and how it ends, is dropped here as well."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def graduate(command: str, raw: bytes, environ: Mapping[str, str]) -> str | None:
    """Run the older SDK's command without its cloud-sync part, and without a shell; what went wrong, in words."""
    words = words_of(command)
    if words is None:
        return f"lessons are not graduated: only a shell could run {command}"
    settings, argv = words
    try:
        done = subprocess.run(
            argv,
            input=raw,
            env={**environ, **settings, CLOUD_OFF: "1", GRADUATING: "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=GRADUATION_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"graduation took longer than {GRADUATION_S:g} s: {command}"
    except OSError as error:
        return f"graduation cannot run: {error.strerror}: {command}"
    if done.returncode == NO_GRADUATION:
        return f"lessons are not graduated: the SDK that did it is not installed any more: {command}"
    return f"graduation ended with {done.returncode}: {command}" if done.returncode else None


def words_of(command: str) -> tuple[dict[str, str], list[str]] | None:
    """The variables that a command line sets and the words that it runs; None if only a shell could run it."""
    lexer = shlex.shlex(_QUIET.sub("", command), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return None
    if any(set(word) <= set("();<>|&") or "$" in word or "`" in word for word in words):
        return None
    count = next((n for n, word in enumerate(words) if not _ASSIGNMENT.match(word)), len(words))
    if count == len(words):
        return None
    variables = dict(word.split("=", 1) for word in words[:count])
    return variables, [os.path.expanduser(word) for word in words[count:]]


def replicate(settings: Settings, *, drain_s: float = DRAIN_S) -> dict[str, Any]:
    """The rollback path: replicate what waits, only while write-through is switched off."""
    if settings.write_through:
        return {"replication": "left to the replicator"}
    if settings.cloud_off or consent(settings.brain_dir) is not None or settings.read_key() is None:
        return {"replication": "off"}
    from gradata.replicate import once  # here: httpx and SQLite, only where something is sent

    result = once.drain(settings, brain_dir.find(settings.brain_dir), timeout_s=drain_s)
    return {"replication": "acknowledged" if result.reason == "caught_up" else f"waits: {result.reason}"}


def main(environ: Mapping[str, str] = os.environ) -> int:
    """The older hook's name: the rollback path for the brain that the environment names."""
    if environ.get(GRADUATING):
        return NO_GRADUATION
    try:
        replicate(Settings.resolve(environ=environ))
    except ReplicatorError as error:
        print(f"gradata: {error}; {hint_of(error)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
