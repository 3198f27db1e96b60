"""Logging in, with a link or a password, and out."""

from __future__ import annotations

import asyncio
import logging
import math
import re

from starlette.responses import Response

from traksense_ingest.ops.console.actions.table import FAILED_LOGIN, LOGIN
from traksense_ingest.ops.console.guard.attempts import TooMany
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import COOKIE
from traksense_ingest.ops.console.guard.users import logged_in
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.terminal import printable

LOCAL_USER = "operator"  # the name of a user who opened the link
NAME_SHOWN = 64  # characters of a name that is not a user's

log = logging.getLogger(__name__)


async def show(visit: Visit) -> Response:
    """The form; a request with the token of a link logs in."""
    token = visit.query.get("token")
    if visit.session:
        return visit.see_other(_own(visit.query.get("next", "")))
    if (
        token
        and visit.request.method == "GET"
        and not visit.console.options.users
        and visit.console.sessions.take(token)
    ):
        visit.console.announce_next()
        log.info("console: %s has opened the link, from %s", LOCAL_USER, visit.address, extra={"user": LOCAL_USER})
        visit.console.recorder.record(LOCAL_USER, "operator", LOGIN, "done: by the link")
        return _enter(visit, LOCAL_USER, Role.OPERATOR, "/")
    return await _form(visit, 403 if token else 200, is_used=bool(token))


async def log_in(visit: Visit) -> Response:
    """With a name and a password."""
    form, users = await visit.form(), visit.console.options.users
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    attempts, address, shown = visit.console.attempts, visit.address, name[:NAME_SHOWN]
    try:
        async with attempts.checking(shown, address):
            user = await asyncio.to_thread(logged_in, users, name, password)
            if user is None:
                attempts.count_wrong(shown, address)
    except TooMany as error:
        log.warning("console: too many wrong passwords for %r, from %s", shown, address, extra={"user": shown})
        response = await _form(visit, 429, wait_s=error.seconds, name=name)
        response.headers["retry-after"] = str(math.ceil(error.seconds))
        return response
    if user is None:
        log.warning("console: a wrong password for %r, from %s", shown, address, extra={"user": shown})
        visit.console.recorder.record(printable(shown), "nobody", FAILED_LOGIN, "refused: a wrong password")
        return await _form(visit, 403, is_wrong=True, name=name)
    attempts.forget(name)
    log.info("console: %s has logged in, from %s", user.name, address, extra={"user": user.name})
    visit.console.recorder.record(user.name, user.role.name.lower(), LOGIN)
    return _enter(visit, user.name, user.role, str(form.get("next", "")))


async def log_out(visit: Visit) -> Response:
    """End this session."""
    assert visit.session is not None  # noqa: S101  (as the role says)
    visit.console.sessions.end(visit.request.cookies.get(COOKIE))
    log.info("console: %s has logged out", visit.session.user, extra={"user": visit.session.user})
    response = visit.see_other("/login")
    response.delete_cookie(COOKIE, path=visit.console.options.prefix or "/")
    return response


def _enter(visit: Visit, user: str, role: Role, then: str) -> Response:
    response = visit.see_other(_own(then))
    response.set_cookie(
        COOKIE,
        visit.console.sessions.start(user, role),
        path=visit.console.options.prefix or "/",
        secure=visit.request.url.scheme == "https" or visit.request.headers.get("x-forwarded-proto") == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _own(then: str) -> str:
    """A path of the console, with its parameters: `//host` would be another site, and browsers read \\ as /, and ignore
    control characters."""
    is_path = re.fullmatch(r"/(?![/\\])[^\x00-\x20\\]*", then)
    return then if is_path and not then.startswith("/login") else "/"


async def _form(
    visit: Visit,
    status_code: int,
    *,
    is_used: bool = False,
    is_wrong: bool = False,
    wait_s: float = 0.0,
    name: str = "",
) -> Response:
    return await visit.render(
        "login.html",
        status_code,
        has_users=bool(visit.console.options.users),
        is_used=is_used,
        is_wrong=is_wrong,
        wait_s=wait_s,
        name=name,
        then=visit.query.get("next", ""),
    )


PAGES = (
    Page("/login", show, Role.NOBODY),
    Page("/login", log_in, Role.NOBODY, is_post=True),
    Page("/logout", log_out, Role.VIEWER, is_post=True),
)
