"""The published SDK's commands that this program does not have: each says where it went.

Both programs are named `gradata`. Whoever installs this one in the SDK's place types what he is used to: he is told
what does the same here, or that only the SDK does it. Partner: `cli.main`, which asks before it parses.
"""

from __future__ import annotations

from collections.abc import Sequence

_ONLY_THERE = "keep the SDK beside this program: docs/migrating.md"

SDK_VERBS = {
    "sync": ("replication is continuous: whoever has the brain open replicates it", "gradata replicate"),
    "cloud": ("the key and the address are settings; what the cloud has is shown by `status`", "gradata config"),
    "login": ("there is no sign-in: save the API key in ~/.gradata/key", "gradata doctor"),
    "logout": ("there is no sign-in: remove ~/.gradata/key, or revoke the key at the cloud", "gradata keys revoke"),
    "hooks": ("hooks are written for each agent", "gradata install --agent all"),
    "health": ("what is wrong, and what to run, is shown by `doctor`", "gradata doctor"),
    "report": ("counts of corrections are on the cloud's pages and in `fleet`", "gradata fleet"),
    "convergence": ("corrections by day are on the cloud's pages", "gradata fleet"),
    "stats": ("counts of corrections are on the cloud's pages and in `fleet`", "gradata fleet"),
    "audit": ("what leaves the machine is in docs/security.md; what does now is shown by `status`", "gradata status"),
    "watch": ("edits are captured by hooks of the agents", "gradata install --agent all"),
    "search": ("events are asked for with `Brain.query_events`; search is the SDK's", _ONLY_THERE),
    "context": ("the last corrections are given to agents by a hook; rules are the SDK's", _ONLY_THERE),
    "mine": ("old transcripts are read by the SDK alone; what it appends is replicated", _ONLY_THERE),
    **{
        verb: (f"{what} is the SDK's", _ONLY_THERE)
        for verb, what in (
            ("embed", "embedding files"),
            ("manifest", "the manifest"),
            ("export", "exporting brains and rules"),
            ("validate", "grading a brain"),
            ("diagnose", "analysing patterns of corrections"),
            ("review", "approving lessons"),
            ("rule", "declaring rules"),
            ("skill", "exporting skills"),
            ("seed", "seeding rules"),
        )
    },
}
"""The command, what became of it, and what to run instead."""

_OPTIONS_BEFORE = ("--brain-dir", "-b")


def gone(arguments: Sequence[str]) -> tuple[str, str] | None:
    """What to tell, and the hint, if a command of the SDK alone was asked for."""
    rest = list(arguments)
    if len(rest) > 2 and rest[0] in _OPTIONS_BEFORE:
        rest = rest[2:]
    if not rest or rest[0] not in SDK_VERBS:
        return None
    what, hint = SDK_VERBS[rest[0]]
    return f"`gradata {rest[0]}` is a command of the SDK, and not of this program: {what}", hint
