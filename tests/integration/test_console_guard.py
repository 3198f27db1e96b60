"""What protects the console, on a real one. Its servers are all down: who may do what does not depend on them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import program
from tests.support.console import PASSWORD, Browser, Console, add_user, running
from tests.support.pages import path_of
from traksense_ingest.ops.console.app import PAGES
from traksense_ingest.ops.console.guard import attempts
from traksense_ingest.ops.console.guard.headers import HEADERS
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.embedded import free_port

pytestmark = pytest.mark.long  # of `make test-all`

ANSWERS = (200, 303, 400, 404, 503)  # of somebody who may: there are no servers, hence 503


@pytest.fixture
def down() -> dict[str, str]:
    """Servers that are all down."""
    port = free_port()
    return {
        "MQTT_URL": f"mqtt://127.0.0.1:{port}",
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "DATABASE_URL": f"postgresql://u:p@127.0.0.1:{port}/d",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
async def console(down: dict[str, str], tmp_path: Path) -> AsyncIterator[Console]:
    """With a viewer `ana` and an operator `rui`."""
    users = tmp_path / "users.txt"
    add_user(users, "ana")
    add_user(users, "rui", "operator")
    async with running(down, tmp_path, "--users", str(users)) as console:
        yield console


def logged_in(console: Console, name: str) -> Browser:
    browser = console.browser()
    assert browser.log_in(name).status == 303
    return browser


def asked(browser: Browser, page: Page) -> int:
    path = path_of(page.path)
    return (browser.post(path) if page.is_post else browser.get(path)).status


async def test_each_route_is_for_its_role_and_those_above(console: Console) -> None:
    nobody, viewer, operator = console.browser(), logged_in(console, "ana"), logged_in(console, "rui")
    pages = sorted((page for page in PAGES if page.path != "/login"), key=lambda page: page.path == "/logout")
    for page in pages:
        assert page.role > Role.NOBODY, page
        assert asked(nobody, page) == (403 if page.is_post else 303), page
        may = page.role <= Role.VIEWER
        assert asked(viewer, page) in (ANSWERS if may else (403,)), page
        assert asked(operator, page) in ANSWERS, page
    assert "Traceback" not in console.log


async def test_nothing_is_done_for_a_page_of_another_site_or_session(console: Console) -> None:
    operator = logged_in(console, "rui")
    for page in (page for page in PAGES if page.is_post and page.role > Role.NOBODY):
        path, own = path_of(page.path), operator.token
        for site in ("cross-site", "same-site", "none", ""):
            answer = operator.sending({"sec-fetch-site": site}).post(path)
            assert (answer.status, "Nothing was changed" in answer.body) == (403, True), (page, site)
        assert "use a reverse proxy with TLS" in operator.sending({"sec-fetch-site": ""}).post(path).body
        for token in ("", "wrong", f"{own}x"):
            assert operator.post(path, token=token).status == 403, (page, token)
        operator.token = own
    assert operator.get("/").status in (200, 503), "it is still logged in"


async def test_a_link_on_another_site_reaches_its_page(console: Console) -> None:
    """The browser withholds the cookie from that request alone."""
    nobody = console.browser()
    answer = nobody.sending({"sec-fetch-site": "cross-site"}).get("/?a=1&b=%22%3E")
    assert answer.status == 200
    assert 'content="0; url=/?a=1&amp;b=%22%3E"' in answer.body
    assert nobody.sending({"sec-fetch-site": "same-origin"}).get("/?a=1").location == "/login?next=%2F%3Fa%3D1"
    assert nobody.log_in("ana", next="/?a=1").location == "/?a=1"


async def test_the_cookie_is_for_this_site_alone_and_ends_with_the_session(console: Console) -> None:
    browser = console.browser()
    answer = browser.log_in("ana", next="//evil.example")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert answer.location == "/"
    proxied = console.browser().sending({"x-forwarded-proto": "https"}).post("/login", name="ana", password=PASSWORD)
    assert "secure" in proxied.headers["set-cookie"].lower()
    before = dict(browser.cookies)
    assert browser.post("/logout").status == 303
    browser.cookies = before
    assert browser.get("/").status == 303


async def test_a_name_that_is_not_its_own_gets_nothing(console: Console) -> None:
    """A page elsewhere whose name resolves to this machine would read what the console shows."""
    for host in ("evil.example", f"evil.example:{console.port}"):
        answer = console.browser(host).get("/login")
        assert answer.status == 421
        assert "<form" not in answer.body
    assert console.browser("10.1.2.3:9180").get("/healthz").body == "ok\n"


async def test_each_answer_has_the_headers(console: Console) -> None:
    browser = logged_in(console, "ana")
    for path in ("/login", "/", "/nowhere", "/static/console.js", "/static/../app.py", "/healthz"):
        answer = browser.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
        assert "server" not in answer.headers
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_what_is_not_there_or_not_possible_is_a_page(console: Console) -> None:
    browser = logged_in(console, "ana")
    for status, answer in (
        (404, browser.get("/<script>alert(1)</script>")),
        (404, browser.get("/static/..%2fapp.py")),
        (405, browser.post("/")),
        (400, browser.post("/logout", token="x" * (3 << 20))),
        (413, console.browser().post("/login", name="x" * (1 << 20))),
    ):
        assert (answer.status, "<h1>" in answer.body, "<script>alert" in answer.body) == (status, True, False)
    assert "Traceback" not in console.log


async def test_wrong_passwords_are_few_and_logged(console: Console) -> None:
    browser = console.browser()
    for _ in range(attempts.NAME_MAX):
        assert browser.log_in("ana\x1b[2J", "wrong").status == 403
    answer = browser.log_in("ana\x1b[2J")
    assert (answer.status, "Too many wrong passwords" in answer.body) == (429, True)
    assert 0 < int(answer.headers["retry-after"]) <= attempts.WITHIN_S
    assert browser.log_in("rui").status == 303
    lines = [json.loads(line) for line in console.log.splitlines()]
    (entered,) = [line for line in lines if line["message"].startswith("console: rui has logged in, from 127.0.0.1")]
    assert entered["user"] == "rui"
    assert sum("a wrong password" in line["message"] for line in lines) == attempts.NAME_MAX
    assert "\x1b" not in console.log


async def test_a_client_that_is_slow_or_large_holds_up_nobody(console: Console) -> None:
    address = ("127.0.0.1", console.port)
    slow = [await asyncio.open_connection(*address) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nname=")
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"x" * 200_000)
    assert b" 400 " in await reader.readline()
    assert logged_in(console, "ana").get("/").status == 200
    assert console.stop() == 0, "nor does it hold up the end"
    for _, writer in slow:
        writer.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "other machines reach this address, and there are no users"),
        (("--users", "nowhere.txt"), "--users nowhere.txt: No such file or directory"),
        (("--host", "192.0.2.1", "--users", "USERS"), "--host 192.0.2.1: "),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_can_not_work_ends_with_2(
    down: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    users = tmp_path / "users.txt"
    add_user(users, "ana")
    words = [word.replace("USERS", str(users)) for word in arguments]
    ended = await asyncio.to_thread(
        program.run, "ops", "console", "--port", "0", *words, environment={**down, "LOG_FORMAT": "text"}
    )
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_port_that_is_taken_is_named(down: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await asyncio.to_thread(program.run, "ops", "console", "--port", port, environment=down)
    assert ended.returncode == 2
    assert f"port {port} (console) is taken by another program" in ended.stderr
    assert "CONSOLE_PORT" in ended.stderr


async def test_users_that_everybody_can_read_are_warned_of(down: dict[str, str], tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    add_user(users, "ana")
    users.chmod(0o644)
    async with running(down, tmp_path, "--users", str(users)) as console:
        assert "every user of this machine can read it; run `chmod 600` on it" in console.log
