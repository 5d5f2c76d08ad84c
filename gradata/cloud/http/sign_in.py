"""Who looks at the cloud: by API key, or by the session cookie of somebody who signed in with one."""

from __future__ import annotations

import asyncio
import time

from fastapi import Request

from gradata.cloud.domain.principal import Principal
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.session_cookie import COOKIE, read_session
from replicator.errors import WireError


class SignIn:
    """Finds the principal of a reading request."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._secret: bytes | None = None

    async def secret(self) -> bytes:
        """What sessions are signed with."""
        if self._secret is None:
            self._secret = await asyncio.to_thread(self._context.store.secret, "session")
        return self._secret

    async def reader(self, request: Request) -> Principal:
        """Who looks: by key, or by the session's cookie. Raises WireError 401, DeniedError."""
        if "authorization" in request.headers:
            return await self._context.principal(request, "read")
        found = await self.signed_in(request)
        if found is None:
            raise WireError("sign in, or send a key", status=401, code="key_unknown")
        return found

    async def signed_in(self, request: Request) -> Principal | None:
        """Whose session the request's cookie is; None if it is none. The key must still work, and read."""
        token = request.cookies.get(COOKIE, "")
        prefix = read_session(token, await self.secret(), now_s=int(time.time())) if token else None
        found = None if prefix is None else await asyncio.to_thread(self._context.keys.bearer, prefix)
        return found if found is not None and found.may("read") else None
