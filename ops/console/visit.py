"""A request as a page sees it: its user, what all pages share, and the responses."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from traksense_ingest.ops.console.actions.exports import Exports
from traksense_ingest.ops.console.actions.replays import Replays
from traksense_ingest.ops.console.actions.table import Recorder
from traksense_ingest.ops.console.guard.attempts import Attempts
from traksense_ingest.ops.console.guard.private import write_private
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import Session, Sessions
from traksense_ingest.ops.console.live.feed import Feed
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.playground.listeners import Listeners
from traksense_ingest.ops.console.render import TEMPLATES
from traksense_ingest.ops.mapping.playground.process import LimitedProcesses
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError

log = logging.getLogger(__name__)

FORM_MAX = 2 * 1024 * 1024  # bytes of one field: a mapping file, or a payload
ENCODED_MAX = 3 * FORM_MAX + 1024  # of one as it is sent, with its name and with every byte as %XX


@dataclass(frozen=True)
class Console:
    """What all pages share."""

    settings: Settings
    options: Options
    port: int
    sessions: Sessions
    attempts: Attempts
    feed: Feed
    replays: Replays
    recorder: Recorder
    exports: Exports
    listeners: Listeners = field(default_factory=Listeners)
    processes: LimitedProcesses = field(default_factory=LimitedProcesses)

    @classmethod
    def of(cls, settings: Settings, options: Options, port: int) -> Console:
        """A new one, without sessions."""
        replays, exports, recorder = Replays(settings), Exports(settings), Recorder(settings.database_url)
        return cls(settings, options, port, Sessions(), Attempts(), Feed(settings), replays, recorder, exports)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Its background tasks, for as long as the block."""
        async with self.processes.running(), self.feed.running(), self.exports.running(), self.replays.running():
            yield

    def stop(self) -> None:
        """The console ends: what would take longest ends first. Exports go on as long as the server lets them."""
        self.processes.stop()
        self.listeners.stop()
        self.replays.stop()
        self.exports.stop()

    def announce(self) -> None:
        """Log its address; without users, a link that can be used once."""
        if self.options.users:
            log.info("console: %s", self.options.address(self.port))
        elif self.options.link_file:
            self._offer_link("")
            log.info("console: %s (%s has a link)", self.options.address(self.port), self.options.link_file)
        else:
            self._offer_link("console: %s (can be used once)")

    def announce_next(self) -> None:
        """Offer a link for another browser. Raises nothing: who has used the previous one gets in."""
        try:
            self._offer_link("console: for another browser: %s")
        except ConfigurationError as error:
            log.warning("console: there is no link for another browser: %s", error)

    def withdraw_link(self) -> None:
        """Remove the file of the link: after the end it opens nothing."""
        if self.options.link_file:
            self.options.link_file.unlink(missing_ok=True)

    def _offer_link(self, text: str) -> None:
        link = self.options.link(self.port, self.sessions.one_time_token())
        if self.options.link_file:
            write_private(self.options.link_file, f"{link}\n", "--link-file")
        else:
            log.info(text, link)


@dataclass(frozen=True)
class Visit:
    """One request of one user."""

    request: Request
    console: Console
    session: Session | None  # None: not logged in

    @property
    def settings(self) -> Settings:
        return self.console.settings

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.request.query_params

    @property
    def address(self) -> str:
        """Where the request comes from, as the nearest reverse proxy says if it is trusted."""
        return self.request.client.host if self.request.client else ""

    @property
    def is_operator(self) -> bool:
        return self.session is not None and self.session.role >= Role.OPERATOR

    async def form(self) -> FormData:
        """The fields of a POST. Raises HTTPException if one is too large."""
        form = await self.request.form(max_files=0, max_part_size=ENCODED_MAX)
        if any(len(str(value).encode()) > FORM_MAX for value in form.values()):
            raise HTTPException(400, f"A field may have at most {FORM_MAX // 1024} KiB.")
        return form

    def url(self, path: str, **query: object) -> str:
        """A path of the console with its prefix; parameters that are None or empty are left out."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self.console.options.prefix + path + (f"?{urlencode(given, doseq=True)}" if given else "")

    def see_other(self, path: str, **query: object) -> Response:
        """Redirect the browser to a page."""
        return RedirectResponse(self.url(path, **query), status_code=303)

    async def render(self, template: str, status_code: int = 200, **context: Any) -> HTMLResponse:
        """A page, with the verdict and the user's name at its top."""
        if self.session is not None:
            context["verdict"] = await self.console.feed.verdict()
        text = await TEMPLATES.get_template(template).render_async(
            visit=self,
            url=self.url,
            path=self.request.scope["path"].removeprefix(self.console.options.prefix),
            now=datetime.now(UTC),
            **context,
        )
        return HTMLResponse(text, status_code)

    async def error(self, status_code: int, heading: str, text: str, *, tries_again: bool = False) -> HTMLResponse:
        """A page that says what is wrong."""
        return await self.render("error.html", status_code, heading=heading, text=text, tries_again=tries_again)
