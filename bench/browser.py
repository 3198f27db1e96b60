"""What a browser asks the console for, without showing it: pages, and what a tab asks for as long as it is open."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

PATIENCE_S = 60.0  # for an answer
_PERIOD = re.compile(r'<body data-refresh="([0-9]+)"')
_FILES = re.compile(r'(?:href|src)="([^"]*/static/[^"]+)"')


class NotShown(Exception):
    """A page is not what was to be measured."""


@dataclass(frozen=True)
class Loaded:
    """A page."""

    seconds: float  # from before the connection until the last byte
    size: int  # bytes of the answer, headers included
    text: str
    cookies: Sequence[str]

    @property
    def period_s(self) -> float:
        """How often an open tab asks for it again."""
        found = _PERIOD.search(self.text)
        if found is None:
            raise NotShown("the page is not refreshed")
        return float(found[1])

    @property
    def files(self) -> list[str]:
        """The style sheet, the script and the icon."""
        return _FILES.findall(self.text)


class Browser:
    """A session that its link has begun. Each request has a connection of its own."""

    def __init__(self, link: str) -> None:
        address = urlsplit(link)
        self._host, self._port = address.hostname or "", address.port
        self._cookies: Sequence[str] = ()
        self._cookies = self._ask(f"{address.path}?{address.query}", 303).cookies

    def load(self, path: str, shows: str = "") -> Loaded:
        """A page that has this text in it; raises NotShown for any other."""
        loaded = self._ask(path, 200)
        if shows not in loaded.text:
            raise NotShown(f"{path}: no {shows!r} in it")
        return loaded

    async def keep_open(self, path: str, seconds: float) -> None:
        """A tab for so long: it asks for its page again as often as the page says."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            page = await asyncio.to_thread(self.load, path)
            await asyncio.sleep(min(page.period_s, left))

    def _ask(self, path: str, status: int) -> Loaded:
        started = time.perf_counter()
        with closing(HTTPConnection(self._host, self._port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", path, headers={"cookie": "; ".join(self._cookies)})
            response = connection.getresponse()
            body = response.read()
        took = time.perf_counter() - started
        if response.status != status:
            raise NotShown(f"{path}: {response.status} instead of {status}: {body.decode(errors='replace')}")
        head = [
            f"HTTP/1.1 {response.status} {response.reason}",
            *(f"{name}: {value}" for name, value in response.getheaders()),
        ]
        cookies = [line.partition(";")[0] for line in response.headers.get_all("set-cookie") or ()]
        return Loaded(took, len("\r\n".join([*head, "", ""])) + len(body), body.decode(), cookies)
