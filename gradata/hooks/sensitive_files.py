"""Which files hold secrets: nothing of them is captured, and no copy of them is kept. Pure.

By their name, or because a private key stands in them: of its lines alone, nobody can tell that they are of a key.
Secrets of one line are taken out of the texts (`gradata.brain.redaction`).
"""

from __future__ import annotations

import re

_NAMES = re.compile(
    r"""
    \.env | \.env\..+ | .+\.env | \.envrc          # environments with credentials
    | .+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk)
    | id_[^.]+(?:\.pub)? | id_(?:rsa|dsa|ecdsa|ed25519)[._-].+  # SSH keys; a module named id_map.py is none
    | \.netrc | _netrc | \.npmrc | \.pypirc | \.pgpass | \.htpasswd | \.git-credentials
    | credentials | credentials\.json | secrets?\.(?:json|toml|ya?ml)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_sensitive(path: str) -> bool:
    """Whether a file's name, or that of a directory `.ssh` or `.gnupg` above it, says that it holds secrets."""
    *above, name = re.split(r"[/\\]", path)
    return _NAMES.fullmatch(name) is not None or not {".ssh", ".gnupg"}.isdisjoint(above)


def holds_private_key(text: str) -> bool:
    """Whether a private key, or a piece with one of its ends, stands in a text."""
    return "PRIVATE KEY-----" in text
