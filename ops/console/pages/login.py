"""Logging in, with a link or a password, and out."""

from __future__ import annotations

import asyncio
import logging

from starlette.responses import Response

from traksense_ingest.ops.console.actions import FAILED_LOGIN, LOGIN
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import COOKIE
from traksense_ingest.ops.console.guard.users import logged_in
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.terminal import printable

LOCAL_USER = "operator"  # whoever has the link

log = logging.getLogger(__name__)


async def show(visit: Visit) -> Response:
    """The form; or, with the token of a link, in."""
    token = visit.query.get("token")
    if token and not visit.console.options.users and visit.console.sessions.take(token):
        log.info("console: %s has logged in by the link", LOCAL_USER, extra={"user": LOCAL_USER})
        visit.console.recorder.record(LOCAL_USER, "operator", LOGIN, "done: by the link")
        visit.console.announce_next()
        return _enter(visit, LOCAL_USER, Role.OPERATOR, "/")
    return await _form(visit, 403 if token else 200, is_used=bool(token))


async def log_in(visit: Visit) -> Response:
    """By name and password."""
    form, users = await visit.form(), visit.console.options.users
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    user = await asyncio.to_thread(logged_in, users, name, password)
    if user is None:
        log.warning("console: a wrong password for %r", name[:64], extra={"user": name[:64]})
        visit.console.recorder.record(printable(name[:64]), "nobody", FAILED_LOGIN, "refused: a wrong password")
        return await _form(visit, 403, is_wrong=True, name=name)
    log.info("console: %s has logged in", user.name, extra={"user": user.name})
    visit.console.recorder.record(user.name, user.role.name.lower(), LOGIN)
    return _enter(visit, user.name, user.role, str(form.get("next", "")))


async def log_out(visit: Visit) -> Response:
    """End this session."""
    visit.console.sessions.end(visit.request.cookies.get(COOKIE))
    response = visit.see_other("/login")
    response.delete_cookie(COOKIE, path=visit.console.options.prefix or "/")
    return response


def _enter(visit: Visit, user: str, role: Role, then: str) -> Response:
    """Only to a path of the console: `//host` would be another site."""
    response = visit.see_other(then if then.startswith("/") and not then.startswith(("//", "/\\")) else "/")
    response.set_cookie(
        COOKIE,
        visit.console.sessions.start(user, role),
        path=visit.console.options.prefix or "/",
        secure=visit.request.url.scheme == "https" or visit.request.headers.get("x-forwarded-proto") == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def _form(
    visit: Visit, status_code: int, *, is_used: bool = False, is_wrong: bool = False, name: str = ""
) -> Response:
    return await visit.render(
        "login.html",
        status_code,
        has_users=bool(visit.console.options.users),
        is_used=is_used,
        is_wrong=is_wrong,
        name=name,
        then=visit.query.get("next", ""),
    )


PAGES = (
    Page("/login", show, Role.NOBODY),
    Page("/login", log_in, Role.NOBODY, is_post=True),
    Page("/logout", log_out, Role.VIEWER, is_post=True),
)
