"""`traksense-ingest console` as a process, and a browser that is logged in by its link."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually

LINK = re.compile(r"console: http://127\.0\.0\.1:(\d+)(/login\?token=\S+)")


class Answer(NamedTuple):
    """Of the console."""

    status: int
    text: str
    headers: Mapping[str, str]


class Browser:
    """Its cookie, and the token for forms."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""
        self._token = ""

    async def log_in(self, link: str) -> None:
        """By a link that the console has printed."""
        self._cookie = (await self.get(link)).headers["set-cookie"].partition(";")[0]
        found = re.search(r'name="token" value="([^"]+)"', (await self.get("/")).text)
        assert found
        self._token = found[1]

    async def get(self, path: str, **query: object) -> Answer:
        """A page."""
        return await asyncio.to_thread(self._ask, "GET", path + (f"?{urlencode(query)}" if query else ""), None)

    async def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        """As a form of the console's own page does."""
        return await asyncio.to_thread(self._ask, "POST", path, urlencode({"token": self._token, **fields}))

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        headers = {"Cookie": self._cookie, "Sec-Fetch-Site": "same-origin"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, text, {name.lower(): value for name, value in response.getheaders()})


@asynccontextmanager
async def console(stack: Stack, directory: Path, **variables: object) -> AsyncIterator[Browser]:
    """A console of a stack for as long as the block, and a browser that is logged in."""
    log = directory / "console.log"
    given = stack.addresses | {name: str(value) for name, value in variables.items()}
    with log.open("wb") as file:
        program = Program("ops", "console", "--port", "0", environment={**os.environ, **given}, stdout=file)
    try:
        found = await eventually(lambda: LINK.search(log.read_text()), log.read_text)
        browser = Browser(int(found[1]))
        await browser.log_in(found[2])
        yield browser
    finally:
        program.terminate()
        assert program.wait(60) == 0, log.read_text()


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def text_of(page: str) -> str:
    """What a reader sees of it, in one line."""
    parser = _Texts()
    parser.feed(page)
    return " ".join(" ".join(parser.texts).split())


def links_of(page: str) -> list[str]:
    """Where its links lead, in order."""
    parser = _Texts()
    parser.feed(page)
    return [attributes["href"] or "" for tag, attributes in parser.tags if tag == "a"]


def scripts_of(page: str) -> list[str | None]:
    """The sources of its scripts: nothing that a device sends may be one."""
    parser = _Texts()
    parser.feed(page)
    return [attributes.get("src") for tag, attributes in parser.tags if tag == "script"]
