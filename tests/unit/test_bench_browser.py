"""The benchmark's browser: what counts as a page of the console, and how many bytes it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from bench.browser import Browser, NotShown

PAGE = b'<link href="/static/a.css"><script src="/static/a.js"></script><body data-refresh="10">dead letters</body>'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)


class Console(BaseHTTPRequestHandler):
    """Lets in whoever has its cookie, which the link sets."""

    def do_GET(self) -> None:
        if self.path == "/login?token=x":
            self.wfile.write(b"HTTP/1.1 303 See Other\r\nSet-Cookie: session=y; HttpOnly\r\nContent-Length: 0\r\n\r\n")
        elif self.headers["cookie"] == "session=y":
            self.wfile.write(ANSWER)
        else:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, *_: object) -> None: ...


@contextmanager
def console() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Console)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/login?token="
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_is_all_bytes_of_its_answer() -> None:
    with console() as link:
        page = Browser(f"{link}x").load("/dead", "dead letters")
    assert page.size == len(ANSWER)
    assert (page.period_s, page.files) == (10, ["/static/a.css", "/static/a.js"])


def test_what_is_another_page_is_not_measured() -> None:
    with console() as link:
        with pytest.raises(NotShown, match="403 instead of 303"):
            Browser(f"{link}wrong")
        browser = Browser(f"{link}x")
        with pytest.raises(NotShown, match="no 'devices' in it"):
            browser.load("/devices", "devices")
