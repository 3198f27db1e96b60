"""`traksense-ingest console` as a process, and a browser without a screen: it logs in with the printed link."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually


class Browser:
    """A session of an operator."""

    def __init__(self, link: str) -> None:
        url = urlsplit(link)
        self._address = url.netloc
        self._cookie = ""
        self._cookie = self._answer("GET", f"{url.path}?{url.query}")[1].getheader("set-cookie", "").partition(";")[0]
        assert self._cookie, "the link does not log in"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        text, answer = self._answer("GET", path)
        return answer.status, text

    def post(self, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """Status and body, with the token of the session."""
        found = re.search(r'name="token" value="([^"]+)"', self.get("/")[1])
        assert found
        headers = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
        text, answer = self._answer("POST", path, urlencode({"token": found[1], **fields}), headers)
        return answer.status, text

    def _answer(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[str, HTTPResponse]:
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            connection.request(method, path, body, {"cookie": self._cookie, **(headers or {})})
            answer = connection.getresponse()
            return answer.read().decode(), answer


@asynccontextmanager
async def console_of(stack: Stack, directory: Path, **variables: object) -> AsyncIterator[Browser]:
    """For as long as the block; it has to end with 0 at SIGTERM."""
    log = directory / "console.log"
    environment = {**stack.environment, **{name: str(value) for name, value in variables.items()}}
    with log.open("wb") as file:
        program = Program("ops", "console", "--port", "0", environment=environment, stdout=file)

    def link() -> str:
        found = re.search(r"console: (http://\S+\?token=\S+)", log.read_text())
        assert found or program.poll() is None, log.read_text()
        return found[1] if found else ""

    try:
        yield Browser(await eventually(link))
    except BaseException:
        program.kill()
        raise
    program.terminate()
    assert program.wait(30) == 0, log.read_text()
