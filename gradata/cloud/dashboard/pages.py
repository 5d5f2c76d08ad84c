"""The routes of the pages: sign-in and sign-out, the fleet, a brain, the parts that the script replaces, static files.

Without a session the sign-in form is shown, then the requested page. The cookie is HttpOnly and SameSite=Strict. The
two routes that change anything (they set and remove it) also require a request from a page of this origin. All other
routes only read.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import mimetypes
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import orjson
from fastapi import FastAPI, Query, Request, Response

from gradata.cloud.clock import now_us
from gradata.cloud.dashboard.formatting import correction_of, environment, static_files
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.rate_limit import Rate, RateLimiter
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.responses import response
from gradata.cloud.http.session_cookie import COOKIE, SESSION_S, make_session
from gradata.cloud.http.sign_in import SignIn
from gradata.cloud.protocol.answers import DeniedError, problem
from gradata.cloud.routes.monitoring import CORRECTION
from gradata.cloud.routes.replica import older_page
from gradata.cloud.service.fleet_reader import FleetReader
from gradata.cloud.service.fleet_state import STATES, FleetBrain
from gradata.cloud.store.reading import last_holes, recent
from gradata.cloud.store.values import CURSOR_END, StoredEvent, StoredRow, StoreUnavailableError
from replicator.errors import WireError

FORM_BYTES_MAX = 8 * 1024
FLEET_SHOWN_MAX = 100
CORRECTIONS_SHOWN = 50
HOLES_SHOWN = 20
KEY_PREFIX_CHARACTERS = len("gk_live_12345678")
GUESSES = Rate(20, burst=10)
"""Failed sign-ins of one address."""
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
FOREVER = "public, max-age=31536000, immutable"


class Pages:
    """Renders the pages."""

    def __init__(self, context: AppContext, fleets: FleetReader, visitors: SignIn) -> None:
        self.context = context
        self.fleets = fleets
        self.visitors = visitors
        self.files = static_files()
        self._marks = {name: hashlib.sha256(body).hexdigest() for name, body in self.files.items()}
        self._templates = environment()
        self._templates.globals["static"] = self._address
        self._correction = self._templates.get_template("parts.html").module
        self.guesses = RateLimiter(GUESSES, clock=time.monotonic)

    def _address(self, name: str) -> str:
        return f"/static/{self._marks[name][:16]}/{name}"

    def html(self, template: str, status: int = 200, **values: object) -> Response:
        """A page, or a part of one."""
        text = self._templates.get_template(template).render(values)
        return Response(text, status, SECURITY, "text/html; charset=utf-8")

    def correction(self, event: StoredEvent) -> bytes:
        """The data of a live event for the script: its HTML, as a JSON string."""
        shown = self._correction.correction(correction_of(event))  # type: ignore[attr-defined]  # a macro
        return orjson.dumps(str(shown))

    def sign_in(self, request: Request, *, status: int = 200, error: str = "", to: str = "") -> Response:
        """The form. A link from elsewhere comes without the cookie, so the page asks once more from here."""
        if not error and request.headers.get("sec-fetch-site") == "cross-site":
            return self.html("again.html")
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        values = {"page": "sign-in", "title": "Sign in", "signed_in": False, "error": error}
        return self.html("sign_in.html", status, next=local_path(to or asked), **values)

    def trouble(self, status: int, title: str, words: str, command: str = "") -> Response:
        """A page that says what is wrong."""
        values = {"page": "trouble", "signed_in": False, "title": title, "words": words, "command": command}
        return self.html("trouble.html", status, **values)

    async def fleet(self, principal: Principal, *, q: str, everything: bool) -> Mapping[str, Any]:
        """The content of the fleet page: all brains with an alert, and others up to FLEET_SHOWN_MAX."""
        brains = await self.fleets.fleet(principal)
        states = [brain.verdict.state for brain in brains]
        found = [brain for brain in brains if q.casefold() in brain.brain_id.casefold()]
        alerts = sum(brain.verdict.alert for brain in brains)
        shown = found if everything or q else found[: max(FLEET_SHOWN_MAX, alerts)]
        return {
            "brains": shown,
            "total": len(brains),
            "alerts": alerts,
            "states": {state: states.count(state) for state in STATES},
            "left_out": len(found) - len(shown),
            "q": q,
            "shown_at": now_us(),
        }

    async def brain(self, principal: Principal, brain_id: str) -> Mapping[str, Any]:
        """The changing part of a brain's page. Raises DeniedError."""
        brain = await self.fleets.brain(principal, brain_id)
        return {"brain": brain, "holes": await asyncio.to_thread(self._holes, brain)}

    def _holes(self, brain: FleetBrain) -> list[tuple[str, StoredRow]]:
        return [
            (device.device_id, row)
            for device in brain.devices
            if device.log.holes
            for row in last_holes(self.fleets.store, device.log, HOLES_SHOWN)
        ][:HOLES_SHOWN]


def local_path(path: str) -> str:
    """The path if it leads to a page of this server, else the fleet."""
    parts = urlsplit(path)
    fine = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if fine and not parts.netloc and parts.path in ("/", "/brain") else "/"


def from_here(request: Request) -> bool:
    """Whether a page of this origin made the browser send this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "")


def add_pages(app: FastAPI, pages: Pages) -> None:
    """Add the pages' routes; none of them is part of the documented interface."""
    _add_signing(app, pages)
    _add_fleet(app, pages)
    _add_brain(app, pages)

    @app.get("/static/{mark}/{name:path}", include_in_schema=False)
    async def static(mark: str, name: str) -> Response:
        """A file that the pages name; its address changes with its content."""
        body = pages.files.get(name)
        if body is None or pages._address(name) != f"/static/{mark}/{name}":  # noqa: SLF001 - of this module
            raise WireError("there is no such file", status=404, code="not_found")
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "text/plain"
        return Response(body, 200, SECURITY | {"Cache-Control": FOREVER}, kind)


def _add_signing(app: FastAPI, pages: Pages) -> None:
    context = pages.context

    @app.post("/sign-in", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        """Take a key, give a session."""
        if not from_here(request):
            return response(problem(403, "foreign_origin", "sign in on the page itself"))
        address = request.client.host if request.client is not None else ""
        form = parse_qs((await context.body(request, FORM_BYTES_MAX)).decode("utf-8", "replace"))
        to = local_path(form.get("next", ["/"])[0])
        key = form.get("key", [""])[0].strip()
        found = await asyncio.to_thread(context.keys.principal, f"Bearer {key}")
        if not isinstance(found, Principal) or not found.may("read"):
            # A key that works passes whatever others guess: behind one proxy, all of them have one address.
            verdict = pages.guesses.admit(f"{key[:KEY_PREFIX_CHARACTERS]}\n{address}")
            if verdict is not None and not verdict.passed:
                words = "Too many keys that do not work came from here. Wait a minute."
                return pages.sign_in(request, status=429, error=words, to=to)
            why = "This key may not read." if isinstance(found, Principal) else "This key does not work."
            return pages.sign_in(request, status=403, error=why, to=to)
        answer = Response(None, 303, SECURITY | {"Location": to})
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        token = make_session(found.prefix, await pages.visitors.secret(), now_s=int(time.time()))
        answer.set_cookie(COOKIE, token, SESSION_S, path="/", secure=secure, httponly=True, samesite="strict")
        return answer

    @app.post("/sign-out", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        """End the session, here and at the store."""
        if not from_here(request):
            return response(problem(403, "foreign_origin", "sign out on the page itself"))
        await pages.visitors.sign_out(request)
        answer = Response(None, 303, SECURITY | {"Location": "/"})
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


def _add_fleet(app: FastAPI, pages: Pages) -> None:
    @app.get("/", include_in_schema=False)
    @app.get("/parts/fleet", include_in_schema=False)
    async def fleet_page(
        request: Request,
        q: Annotated[str, Query(max_length=128)] = "",
        everything: Annotated[str, Query(alias="all")] = "",
    ) -> Response:
        """The fleet, problems first."""
        part = request.url.path != "/"
        try:
            principal = await pages.visitors.signed_in(request)
            if principal is None:
                return _signed_out(pages, request, part=part)
            values = await pages.fleet(principal, q=q, everything=bool(everything))
        except StoreUnavailableError:
            return _away(pages)
        if part:
            return pages.html("fleet_part.html", **values)
        return pages.html("fleet.html", page="fleet", title="Fleet", signed_in=True, **values)


def _add_brain(app: FastAPI, pages: Pages) -> None:
    @app.get("/brain", include_in_schema=False)
    @app.get("/parts/brain", include_in_schema=False)
    async def brain_page(
        request: Request,
        name: Annotated[str, Query(alias="id", max_length=128)] = "",
        before: Annotated[int | None, Query(ge=1, le=CURSOR_END)] = None,
    ) -> Response:
        """One brain: state, proof, charts, live corrections; with `before` older ones, which stand still."""
        part = request.url.path != "/brain"
        try:
            principal = await pages.visitors.signed_in(request)
            if principal is None:
                return _signed_out(pages, request, part=part)
            values = await pages.brain(principal, name)
            if part:
                return pages.html("brain_part.html", **values)
            # The newest event first: what is stored between the two reads comes twice, and the script knows it by id.
            events = functools.partial(recent, pages.fleets.store, principal.workspace, name)
            newest = await asyncio.to_thread(events, limit=1)
            older = await asyncio.to_thread(
                older_page, pages.fleets.store, principal.workspace, name,
                kind=CORRECTION, before=before or CURSOR_END, limit=CORRECTIONS_SHOWN,
            )  # fmt: skip
        except StoreUnavailableError:
            return _away(pages)
        except WireError:
            return pages.trouble(410, "This brain was deleted", "On purpose; nothing of it is kept here.")
        except DeniedError:
            return pages.trouble(404, "No such brain", "Your key reaches no brain of this name.")
        return pages.html(
            "brain.html",
            page="brain",
            title=name,
            signed_in=True,
            corrections=[correction_of(event) for event in older.events],
            before=before,
            older=older.before,
            after=newest[0].cursor if newest else 0,
            **values,
        )


def _signed_out(pages: Pages, request: Request, *, part: bool) -> Response:
    if part:
        return response(problem(401, "key_unknown", "the session has ended"))
    return pages.sign_in(request)


def _away(pages: Pages) -> Response:
    words = "The store does not answer now. Nothing is lost: every brain keeps its records and sends them later."
    return pages.trouble(503, "One moment", words, "gradata doctor")
