"""API keys: creation, rotation, revocation, and the principal of a request.

A key is `gk_live_<8 characters>_<43 characters>`. The first part is public and used for look-up; the second has 256
random bits and is not stored. The SHA-256 of the whole is stored: a slow hash is for passwords, not for random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

from gradata.cloud.clock import now_us
from gradata.cloud.domain.principal import Principal, Unknown
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import key_of
from gradata.cloud.store.values import StoredKey, StoreError

SCOPES = frozenset({"ingest", "read", "admin"})
GRACE_S = 24 * 3600.0
CACHE_S = 1.0
"""Seconds for which a key changed by another process may still count as before."""
CACHED_KEYS_MAX = 10_000
WORKSPACE = "default"
_KEY = re.compile(r"(gk_live_[0-9a-zA-Z]{8})_[0-9A-Za-z_-]{22,200}", re.ASCII)
_PREFIX_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def create_key(
    store: Store,
    name: str,
    scopes: Iterable[str],
    *,
    brains: Iterable[str] = (),
    workspace: str = WORKSPACE,
    now: int | None = None,
) -> str:
    """Create a key, store its hash, and return the key, which cannot be retrieved again.

    `brains`: the brains it is restricted to; none: all of the workspace. Raises StoreError for an unknown scope.
    """
    wanted = frozenset(scopes)
    if not wanted or wanted - SCOPES:
        raise StoreError("a key needs scopes of: admin, ingest, read", hint="for example --scope ingest,read")
    prefix = "gk_live_" + "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(8))
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    made = now_us() if now is None else now
    store.put_key(StoredKey(prefix, name, workspace, wanted, _digest(key), frozenset(brains), made))
    return key


def rotate_key(store: Store, prefix: str, *, grace_s: float = GRACE_S, now: int | None = None) -> str:
    """A new key with the rights of the old one, which expires after `grace_s` seconds.

    Raises StoreError if there is no such key, or it is not valid any more.
    """
    at = now_us() if now is None else now
    old = key_of(store, prefix)
    if old is None or not works(old, at):
        raise StoreError(f"no working key {prefix}", hint="gradata keys list")
    key = create_key(store, old.name, old.scopes, brains=old.brains, workspace=old.workspace, now=at)
    ends = at + int(grace_s * 1e6)
    store.put_key(replace(old, expires_at=ends if old.expires_at is None else min(ends, old.expires_at)))
    return key


def revoke_key(store: Store, prefix: str, *, now: int | None = None) -> None:
    """Revoke a key. Raises StoreError if there is none."""
    key = key_of(store, prefix)
    if key is None:
        raise StoreError(f"no key {prefix}", hint="gradata keys list")
    store.put_key(replace(key, revoked_at=now_us() if now is None else now))


def list_keys(store: Store, workspace: str | None = None) -> list[StoredKey]:
    """All keys, oldest first, without their secrets."""
    return store.keys(workspace)


def works(key: StoredKey, now: int) -> bool:
    """Whether the key is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


class Authenticator:
    """Finds the principal of an Authorization header. Valid keys are cached for CACHE_S seconds."""

    def __init__(self, store: Store, *, clock: Callable[[], float], wall_us: Callable[[], int] = now_us) -> None:
        self._store = store
        self._clock = clock
        self._wall_us = wall_us
        self._cache: dict[str, tuple[float, StoredKey]] = {}
        self._named: dict[bytes, tuple[float, StoredKey, Principal]] = {}

    def principal(self, authorization: str | None) -> Principal | Unknown:
        """The principal, or Unknown. Raises StoreUnavailableError."""
        scheme, _, secret = (authorization or "").partition(" ")
        match = _KEY.fullmatch(secret.strip())
        if scheme.lower() != "bearer" or match is None:
            return Unknown()
        prefix = match[1]
        key = self._find(prefix)
        # An unknown prefix costs the same comparison, so the time does not tell whether there is such a key.
        right = hmac.compare_digest(_digest(match[0]), _NOBODY if key is None else key.sha256)
        if key is None or not right:
            return Unknown()  # as for a prefix that nobody has: what is public tells nothing, and paints nothing
        if not works(key, self._wall_us()):
            return Unknown(prefix, key.brains)
        named = Principal(prefix, key.workspace, key.scopes, key.brains)
        cached = self._cache.get(prefix)
        if cached is not None and cached[1] is key:
            if len(self._named) >= CACHED_KEYS_MAX:
                self._named.clear()
            self._named[credential_of(authorization)] = (cached[0], key, named)
        return named

    def remembered(self, credential: bytes) -> Principal | None:
        """What `principal` said of the header with this `credential_of`, less than CACHE_S ago, if it still holds."""
        found = self._named.get(credential)
        if found is None or self._clock() - found[0] >= CACHE_S:
            return None
        key = found[1]  # it worked when it was read: only time can have changed that
        return None if key.expires_at is not None and not works(key, self._wall_us()) else found[2]

    def bearer(self, prefix: str) -> Principal | None:
        """The principal of the key with this prefix, if it is valid: for senders who have proven it before."""
        key = self._find(prefix)
        if key is None or not works(key, self._wall_us()):
            return None
        return Principal(prefix, key.workspace, key.scopes, key.brains)

    def _find(self, prefix: str) -> StoredKey | None:
        now = self._clock()
        cached = self._cache.get(prefix)
        if cached is not None and now - cached[0] < CACHE_S:
            return cached[1]
        key = key_of(self._store, prefix)
        if key is None:
            self._cache.pop(prefix, None)
        else:
            if len(self._cache) >= CACHED_KEYS_MAX:
                self._cache.clear()
            self._cache[prefix] = (now, key)
        return key


def credential_of(authorization: str | None) -> bytes:
    """By what a header is remembered: not by the key that is in it."""
    return _digest(authorization or "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


_NOBODY = bytes(32)
