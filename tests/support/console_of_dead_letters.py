"""A console as a process, and a browser's part of it: cookies, forms and their tokens."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually

_LINK = re.compile(r"http://127\.0\.0\.1:(\d+)(/login\?token=\S+)")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


class Answer(NamedTuple):
    """What the console says."""

    status: int
    body: str
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """Without tags, with single blanks."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.body)).split())

    def field(self, name: str) -> str:
        """The value of a hidden field."""
        found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', self.body)
        assert found, self.body
        return html.unescape(found[1])


class Console:
    """One process, and one user who is logged in by the link."""

    def __init__(self, stack: Stack, directory: Path, **variables: object) -> None:
        self._log = directory / "console.log"
        self._cookie = ""
        self._port = 0
        environment = stack.environment | {name: str(value) for name, value in variables.items()}
        with self._log.open("ab") as log:
            self._start = len(self.log)
            self.program = Program("ops", "console", "--port", "0", environment=environment, stdout=log)

    @property
    def log(self) -> str:
        """All that consoles of this directory have logged."""
        return self._log.read_text() if self._log.exists() else ""

    async def log_in(self) -> None:
        """By the link of its log."""
        await eventually(lambda: _LINK.search(self.log, self._start) is not None, "a link in the console's log")
        found = _LINK.search(self.log, self._start)
        assert found
        self._port = int(found[1])
        answer = await self.get(found[2])
        assert answer.status == 303, answer
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    async def log_in_as(self, name: str, password: str) -> Answer:
        """By name and password, with a file of users."""
        await eventually(lambda: _ADDRESS.search(self.log, self._start) is not None, "an address in the console's log")
        found = _ADDRESS.search(self.log, self._start)
        assert found
        self._port = int(found[1])
        answer = await asyncio.to_thread(self._ask, "POST", "/login", urlencode({"name": name, "password": password}))
        self._cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        return answer

    async def get(self, path: str, **query: object) -> Answer:
        """A page."""
        return await asyncio.to_thread(self._ask, "GET", path + (f"?{urlencode(query)}" if query else ""), None)

    async def post(self, path: str, page: Answer, **fields: object) -> Answer:
        """A form of a page, which has its token."""
        found = _TOKEN.search(page.body)
        assert found, page.body
        return await asyncio.to_thread(self._ask, "POST", path, urlencode({"token": found[1], **fields}))

    def kill(self) -> None:
        """Without a chance to end anything."""
        self.program.kill()
        self.program.wait(30)

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        headers = {"Cookie": self._cookie}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()})


@asynccontextmanager
async def console_on(stack: Stack, directory: Path, **variables: object) -> AsyncIterator[Console]:
    """A console, logged in; it ends with the block."""
    console = Console(stack, directory, **variables)
    try:
        await console.log_in()
        yield console
    finally:
        console.kill()
