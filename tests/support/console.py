"""`traksense-ingest console` as a process, and a browser that keeps cookies and sends forms as a page does."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import unescape
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from ssl import SSLContext
from urllib.parse import urlencode, urlsplit

from tests.support.process import EXIT_TIMEOUT_S, OURS
from tests.support.program import Program
from tests.support.waiting import eventually
from traksense_ingest.ops.console.guard.users import ROLES, User
from traksense_ingest.ops.status.verdict import Verdict

READY = re.compile(r"console: (http://\S+)")
PASSWORD = "correct horse"
TIMEOUT_S = 60.0  # of an answer


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: str

    @property
    def location(self) -> str:
        """Where the browser is sent."""
        return self.headers["location"]

    @property
    def text(self) -> str:
        """What a reader sees of the page, with one blank between two words."""
        return text_of(self.body)

    @property
    def links(self) -> list[str]:
        """Where its links lead, in order."""
        return [link["href"] or "" for link in self._markup.having("a")]

    @property
    def scripts(self) -> list[str | None]:
        """The sources of its scripts, None for one in the page: nothing that a device sends may be one."""
        return [script.get("src") for script in self._markup.having("script")]

    def hidden(self, name: str) -> str:
        """The value of a hidden field."""
        fields = {field.get("name"): field for field in self._markup.having("input") if field.get("type") == "hidden"}
        assert name in fields, self.body
        return fields[name].get("value") or ""

    @property
    def verdict(self) -> Verdict | None:
        """The sentence at the top of a page; None without it."""
        found = re.search(r'<section id="verdict"[^>]* class="verdict (\w+)">(.*?)</section>', self.body, re.DOTALL)
        return Verdict(found[1], unescape(found[2])) if found else None

    @cached_property
    def _markup(self) -> _Markup:
        return _Markup(self.body)


def text_of(markup: str) -> str:
    """What a reader sees of it, with one blank between two words."""
    return " ".join(" ".join(_Markup(markup).texts).split())


class _Markup(HTMLParser):
    """The tags with their attributes, and the texts between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def having(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of the tags of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@dataclass
class Browser:
    """One session of one user. `post` sends the token of the last page, and says that it comes from the same site."""

    port: int
    host: str = ""  # the header Host; empty: the address
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # of each request, names in lower case
    tls: SSLContext | None = None  # by HTTPS
    address: str = "127.0.0.1"  # its own

    def sending(self, headers: Mapping[str, str]) -> Browser:
        """The same session, with these headers."""
        return replace(self, headers=headers)

    def get(self, path: str, /, **query: object) -> Answer:
        """A page, without following a redirect."""
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), None, {})

    def post(self, path: str, /, **fields: object) -> Answer:
        """A form."""
        sent = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        return self._ask("POST", path, urlencode({"token": self.token, **fields}), sent)

    def log_in(self, name: str, password: str = PASSWORD, **fields: str) -> Answer:
        """With a name and a password."""
        answer = self.post("/login", name=name, password=password, **fields)
        if answer.status == 303:
            self.get(answer.location)  # each page has the token for the forms
        return answer

    def connect(self) -> HTTPConnection:
        """A connection, for what `get` and `post` can't do."""
        source = (self.address, 0)
        if self.tls:
            return HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, source_address=source, context=self.tls)
        return HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, source_address=source)

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        sent = {**headers, **self.headers}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.host:
            sent.setdefault("host", self.host)
        with closing(self.connect()) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            for line in response.headers.get_all("set-cookie") or ():
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value.strip('"')
            found = re.search(r'name="token" value="([^"]+)"', text)
            self.token = found[1] if found else self.token
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)


class Console:
    """The process. It ends with the block of `running`."""

    def __init__(self, environment: Mapping[str, str], directory: Path, *arguments: str) -> None:
        self.log_path = directory / f"console-{len(list(directory.glob('console-*.log')))}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with self.log_path.open("wb") as log:
            self.popen = Program(
                "ops", "console", "--port", "0", *arguments, environment={**clean, **environment}, stdout=log
            )

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_path.read_text()

    @property
    def links(self) -> list[str]:
        """The addresses that it has printed, the newest last."""
        return READY.findall(self._said) + re.findall(r"another browser: (http://\S+)", self._said)

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.links[0]).port or 0

    @property
    def base_url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def browser(self, host: str = "") -> Browser:
        """One that is not logged in."""
        return Browser(self.port, host)

    def operator(self) -> Browser:
        """One that has opened the newest link."""
        browser, link = self.browser(), urlsplit(self.links[-1])
        answer = browser.get(f"{link.path}?{link.query}")
        assert answer.status == 303, answer.body
        assert browser.get(answer.location).status == 200
        return browser

    async def says(self, text: str) -> None:
        """Wait for a text in its log."""
        await eventually(lambda: text in self.log or self.popen.poll() is not None, lambda: f"{text!r}: {self.log}")
        assert text in self.log, self.log

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(EXIT_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL: without a chance to end anything."""
        self.popen.kill()
        self.popen.wait(EXIT_TIMEOUT_S)

    @property
    def _said(self) -> str:
        """The messages of the log, in either of its formats."""
        return "\n".join(_message(line) for line in self.log.splitlines())


@asynccontextmanager
async def running(environment: Mapping[str, str], directory: Path, *arguments: str) -> AsyncIterator[Console]:
    """A console that answers, with these variables, for as long as the block; one that runs until then ends well."""
    console = Console(environment, directory, *arguments)
    try:
        await console.says("console: http://")
        yield console
        if console.popen.poll() is None:
            assert console.stop() == 0, console.log
    finally:
        console.kill()


def add_user(users: Path, name: str, role: str = "viewer") -> None:
    """A line of the file of users, with PASSWORD."""
    with users.open("a") as file:
        file.write(f"{User.with_password(name, ROLES[role], PASSWORD).line()}\n")
    users.chmod(0o600)


def _message(line: str) -> str:
    if not line.startswith("{"):
        return line
    record = json.loads(line)
    return str(record["message"])
