"""The web application: all routes, the checks before them, and the headers after them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traksense_ingest.ops.console.guard.bodies import bounded
from traksense_ingest.ops.console.guard.headers import HEADERS
from traksense_ingest.ops.console.guard.hosts import is_allowed
from traksense_ingest.ops.console.guard.sessions import COOKIE
from traksense_ingest.ops.console.page import Page
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
    """All of it, for one console."""
    routes: list[BaseRoute] = [page.route(console) for page in PAGES]
    routes += [Mount("/static", StaticFiles(directory=STATIC)), Route("/healthz", _healthz)]

    async def failed(request: Request, error: Exception) -> Response:
        return await _failed(Visit(request, console, console.sessions.of(request.cookies.get(COOKIE))), error)

    app = Starlette(routes=routes, exception_handlers={IngestError: failed, HTTPException: failed})
    return Gate(app, console)


async def _healthz(_: Request) -> Response:
    """For whoever starts the process: it answers, whatever the pipeline does."""
    return PlainTextResponse("ok\n")


async def _failed(visit: Visit, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        is_missing = error.status_code == 404
        heading, text = ("Not found", "There is no such page.") if is_missing else ("Not possible", str(error.detail))
        return await visit.render("error.html", error.status_code, heading=heading, text=text)
    return await visit.render("error.html", 503, heading="Can't be shown now", text=str(error))


class Gate:
    """Before the routes: the header Host, and the prefix of a reverse proxy, which some remove and some pass on."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if not is_allowed(Headers(scope=scope).get("host", ""), self._console.options.hosts):
            text = "This console does not answer to this name: see --allow-host.\n"
            await PlainTextResponse(text, 421)(scope, receive, send_with_headers)
            return
        prefix, path = self._console.options.prefix, scope["path"]
        if prefix and path != prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        await self._app({**scope, "path": path, "root_path": prefix}, bounded(receive), send_with_headers)
