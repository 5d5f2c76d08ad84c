"""Identifies readers, by API key or by the session cookie of a sign-in."""

from __future__ import annotations

import asyncio
import time

from fastapi import Request

from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.timestamps import SECOND
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.session_cookie import COOKIE, Session, read_session
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

    async def session(self, request: Request) -> Session | None:
        """The session that the request's cookie names, signed out or not; None if it is none."""
        token = request.cookies.get(COOKIE, "")
        return read_session(token, await self.secret(), now_s=int(time.time())) if token else None

    async def signed_in(self, request: Request) -> Principal | None:
        """Whose session the request's cookie is; None if there is none. The key must still work, and read."""
        session = await self.session(request)
        found = None if session is None else await asyncio.to_thread(self._bearer, session)
        if found is None or not found.may("read"):
            return None
        self._context.reads.enter(request.scope, found.prefix)
        return found

    def _bearer(self, session: Session) -> Principal | None:
        found = self._context.keys.bearer(session.prefix)
        return None if found is None or self._context.store.session_ended(session.name) else found

    async def sign_out(self, request: Request) -> None:
        """End the request's session, for every server of the store."""
        session = await self.session(request)
        if session is not None:
            until = session.ends_s * SECOND
            await asyncio.to_thread(self._context.store.session_ended, session.name, until=until)
