"""A route of the console. Only this module decides who may use it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from traksense_ingest.ops.console.guard.body import BODY_MAX, LOGIN_MAX, bounded
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import COOKIE, Session
from traksense_ingest.ops.console.visit import Console, Visit

Endpoint = Callable[[Visit], Awaitable[Response]]
READING = ("GET", "HEAD")

OTHER_SITE = "This request came from a page of another site. Nothing was changed."
NO_SITE = (
    "The browser did not send the header Sec-Fetch-Site, which shows that a request comes from the console's own page. "
    "Nothing was changed. Browsers send it over HTTPS, and to localhost: use a reverse proxy with TLS."
)


@dataclass(frozen=True)
class Page:
    """A path, its endpoint, and the lowest role that may use it. A page that changes something accepts only POST."""

    path: str
    endpoint: Endpoint
    role: Role = Role.VIEWER
    is_post: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        return ("POST",) if self.is_post else READING

    def route(self, console: Console) -> Route:
        """For Starlette."""

        async def endpoint(request: Request) -> Response:
            session = console.sessions.of(request.cookies.get(COOKIE))
            receive = bounded(request.receive, BODY_MAX if session else LOGIN_MAX)
            visit = Visit(Request(request.scope, receive), console, session)
            if refusal := await self._refusal(visit):
                return refusal
            return await self.endpoint(visit)

        return Route(self.path, endpoint, methods=list(self.methods))

    async def _refusal(self, visit: Visit) -> Response | None:
        role = visit.session.role if visit.session else Role.NOBODY
        if role < self.role and visit.session is None:
            return await _log_in_first(visit, is_post=self.is_post)
        if role < self.role:
            return await _refused(visit, f"This needs a user with the role {self.role.name.lower()}.")
        if self.is_post and (site := visit.request.headers.get("sec-fetch-site")) != "same-origin":
            return await _refused(visit, OTHER_SITE if site else NO_SITE)
        if self.is_post and not await _has_token(visit.session, visit):
            return await _refused(
                visit, "The page is from an earlier session. Nothing was changed. Open it again, and repeat."
            )
        return None


async def _log_in_first(visit: Visit, *, is_post: bool) -> Response:
    if is_post:
        return await _refused(visit, "You are logged out. Nothing was changed. Log in, and repeat the action.")
    address = visit.request.url
    path = address.path.removeprefix(visit.console.options.prefix) + (f"?{address.query}" if address.query else "")
    if visit.request.headers.get("sec-fetch-site") == "cross-site":
        # A link on another site, in a chat or an alert: the browser does not send the cookie with this request, but
        # with the next one, which comes from this page.
        return await visit.render("again.html", then=path)
    return visit.see_other("/login", next=path)


async def _has_token(session: Session | None, visit: Visit) -> bool:
    """A user who is not logged in has no token yet."""
    if session is None:
        return True
    token = str((await visit.form()).get("token", ""))
    return secrets.compare_digest(token.encode(), session.form_token.encode())


async def _refused(visit: Visit, why: str) -> Response:
    return await visit.error(403, "Not allowed", why)
