"""The web application: all routes, the checks before them, and the headers after them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traksense_ingest.ops.console.guard.headers import HEADERS
from traksense_ingest.ops.console.guard.hosts import is_allowed
from traksense_ingest.ops.console.guard.sessions import COOKIE
from traksense_ingest.ops.console.page import READING, Page
from traksense_ingest.ops.console.pages import (
    audit,
    dead,
    devices,
    letter,
    login,
    pipeline,
    playground,
    replay,
    streams,
)
from traksense_ingest.ops.console.visit import Console, Visit
from traksense_ingest.shared.errors import IngestError

HEADINGS = {404: "Not found", 405: "Method not allowed", 413: "Too large", 408: "Request timeout"}
TEXTS = {404: "There is no such page.", 405: "This address does not accept this method."}
SEND_S = 60.0  # in which a browser has to take a part of a response: an export holds a transaction until then
A_BUG = "This is a bug in the console. Its log has the details. The pipeline is not affected."

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
PAGES: Sequence[Page] = (
    *login.PAGES,
    *pipeline.PAGES,
    *dead.PAGES,
    *replay.PAGES,
    *letter.PAGES,
    *devices.PAGES,
    *playground.PAGES,
    *streams.PAGES,
    *audit.PAGES,
)


def make_app(console: Console) -> ASGIApp:
    """The application of one console."""
    routes: list[BaseRoute] = [page.route(console) for page in PAGES]
    routes += [Mount("/static", StaticFiles(directory=STATIC)), Route("/healthz", _healthz)]

    async def failed(request: Request, error: Exception) -> Response:
        return await _failed(Visit(request, console, console.sessions.of(request.cookies.get(COOKIE))), error)

    app = Starlette(routes=routes, exception_handlers={IngestError: failed, HTTPException: failed, Exception: failed})
    return Gate(app, console)


async def _healthz(_: Request) -> Response:
    """For probes of Docker and Kubernetes: it answers also while the pipeline is down."""
    return PlainTextResponse("ok\n")


async def _failed(visit: Visit, error: Exception) -> Response:
    is_reading = visit.request.method in READING
    if isinstance(error, HTTPException):
        heading, text = HEADINGS.get(error.status_code, "Not possible"), TEXTS.get(error.status_code, str(error.detail))
        response = await visit.error(error.status_code, heading, text)
        response.headers.update(error.headers or {})
        return response
    heading = "Can't be shown now" if is_reading else "Can't be done now"
    if isinstance(error, IngestError):
        return await visit.error(503, heading, str(error), tries_again=is_reading)
    return await visit.error(500, heading, A_BUG)


class Gate:
    """Before the routes: checks the header Host, and adds the prefix of a reverse proxy where the proxy removed it."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        send = _bounded(send)
        path = scope["path"]
        if path == "/healthz":  # a probe uses the address of the pod as Host
            await self._app(scope, receive, send)
            return
        if not is_allowed(Headers(scope=scope).get("host", ""), self._console.options.hosts):
            text = "This console does not accept this host name. Add it with --allow-host.\n"
            await PlainTextResponse(text, 421)(scope, receive, send)
            return
        prefix = self._console.options.prefix
        if prefix and path != prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        try:
            await self._app({**scope, "path": path, "root_path": prefix}, receive, send)
        except ClientDisconnect:
            log.info(
                "console: the browser disconnected, or took nothing for %g s, in %s %s", SEND_S, scope["method"], path
            )
        except asyncio.CancelledError:  # by the server, when the console ends
            log.info("console: %s %s was cut by the end of the console", scope["method"], path)
        except Exception:  # the error page is sent already
            log.exception("console: a bug, in %s %s", scope["method"], path)


def _bounded(send: Send) -> Send:
    """`send` with the headers of each response. Raises ClientDisconnect if the browser does not take a part in time."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(SEND_S):
                await send(message)
        except TimeoutError:
            raise ClientDisconnect from None

    return send_with_headers
