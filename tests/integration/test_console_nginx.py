"""The console behind nginx, with the example of docs/console.md as it is there, and with a prefix that is removed."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from http.client import IncompleteRead
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.certificates import Authority, can_sign
from tests.support.console import PASSWORD, Answer, Browser, Console, add_user, running
from tests.support.dead_letters import TOPIC, dead_letter
from tests.support.handbook import DOCS
from tests.support.pages import opened_pages
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.console.guard.body import BODY_MAX
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.ports import port_is_free

pytestmark = pytest.mark.long  # of `make test-all`

PAGE = (DOCS / "console.md").read_text()
(EXAMPLE,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^    traksense-ingest console (--prefix .*)$", PAGE, re.MULTILINE)
CONSOLE = "http://127.0.0.1:9180"
NAME = "ingest.example.com"
CLIENT = "127.0.0.9"  # no proxy has this address
CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {temporary}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {name};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
{example}
    }}
}}
"""
# 40 MB: nginx has not all of them yet when the first ones are at the browser.
MANY_LETTERS = """\
INSERT INTO ingest_errors (tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries, received_at)
SELECT 'acme', 'acme/a', repeat('x', 4000), 'parse_error: no', 'parse_error', 'ingest:{0}', number || '-9', 1, now()
FROM generate_series(1, 10000) AS number"""


@pytest.fixture
async def console(stack: Stack, tmp_path: Path) -> AsyncIterator[Console]:
    """One with a user, started as the page says."""
    users = tmp_path / "users.txt"
    add_user(users, "ana", "operator")
    words = [str(users) if word == users.name else word for word in shlex.split(COMMAND)]
    async with running(stack.environment, tmp_path, *words) as console:
        yield console


@pytest.fixture(params=["", "/"], ids=["passed on", "removed"])
async def browser(request: pytest.FixtureRequest, console: Console, tmp_path: Path) -> AsyncIterator[Browser]:
    """One that reaches the console through nginx alone."""
    if not (nginx := shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")):
        pytest.skip("nginx is not installed here")
    if not can_sign():
        pytest.skip("openssl is not installed here")
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("nginx", "IP:127.0.0.1")
    port, file = free_port(), tmp_path / "nginx.conf"
    assert EXAMPLE.count(f"{CONSOLE};") == 1
    file.write_text(
        CONFIGURATION.format(
            directory=tmp_path,
            temporary="".join(temporary_paths(tmp_path)),
            port=port,
            name=NAME,
            certificate=certificate,
            key=key,
            example=EXAMPLE.replace(f"{CONSOLE};", f"{console.base_url}{request.param};"),
        )
    )
    with (tmp_path / "nginx.log").open("wb") as log:
        process = subprocess.Popen([nginx, "-c", str(file)], stdout=log, stderr=log)  # noqa: ASYNC220
    await eventually(lambda: not port_is_free(port) or process.poll() is not None, "nginx listens")
    assert process.poll() is None, (tmp_path / "nginx.log").read_text()
    yield Browser(port, NAME, tls=ssl.create_default_context(cafile=authority.certificate), address=CLIENT)
    process.kill()
    process.wait()


def temporary_paths(directory: Path) -> Iterator[str]:
    """Folders of this test, instead of the system's."""
    for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield f"{module}_temp_path {directory}/{module};\n"


@pytest.fixture
def user(browser: Browser) -> Browser:
    """The same browser, logged in."""
    log_in(browser)
    assert browser.get("/ingest/").status == 200
    return browser


def log_in(browser: Browser) -> Answer:
    answer = browser.post("/ingest/login", name="ana", password=PASSWORD, next="/dead?tenant=acme")
    assert (answer.status, answer.location) == (303, "/ingest/dead?tenant=acme"), answer.body
    return answer


async def test_redirects_and_links_stay_below_the_prefix(stack: Stack, browser: Browser) -> None:
    await dead_letter(stack, (TOPIC, b"oops"))
    assert urlsplit(browser.get("/ingest").location)[1:3] == (f"{NAME}:{browser.port}", "/ingest/")
    first = browser.get("/ingest/dead", tenant="acme")
    assert first.location == "/ingest/login?next=%2Fdead%3Ftenant%3Dacme"
    cookie = log_in(browser).headers["set-cookie"].lower()
    assert {"path=/ingest", "secure", "httponly", "samesite=strict"} <= {part.strip() for part in cookie.split(";")}
    for path in (*opened_pages(), "/dead/1", "/dead/replay"):
        page = browser.get(f"/ingest{path}")
        assert page.status == 200, (path, page.body)
        links = [link for link in re.findall(r'(?:href|src|action)="([^"]+)"', page.body) if link[0] != "#"]
        assert len(links) > 8
        assert [link for link in links if not link.startswith("/ingest/")] == [], path
        loaded = [link for link in links if "/static/" in link]
        assert [browser.get(link).status for link in loaded] == [200] * len(loaded)
    assert browser.post("/ingest/logout").location == "/ingest/login"
    assert browser.get("/ingest/").status == 303


async def test_the_log_has_the_address_of_the_browser(console: Console, browser: Browser) -> None:
    """Not that of nginx, nor one that the browser claims to have."""
    forged = browser.sending({"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http"})
    assert "secure" in log_in(forged).headers["set-cookie"].lower()
    await console.says(f"console: ana has logged in, from {CLIENT}")


async def test_the_largest_form_is_accepted(user: Browser) -> None:
    """Nginx by itself refuses more than 1 MB, and the console less than a payload and a mapping of 2 MiB."""
    fields = {"do": "try", "topic": "a/b", "mapping": "text", "payload": "ü" * 1_000_000, "text": "ü" * 1_000_000}
    answer = await asyncio.to_thread(lambda: user.post("/ingest/map", **fields))
    assert answer.status == 200, answer.body[:300]
    assert 'id="result"' in answer.body
    assert f"client_max_body_size {BODY_MAX // 1024**2}m;" in EXAMPLE
    too_large = {f"field-{number}": "x" * 1_900_000 for number in range(10)}
    refused = await asyncio.to_thread(lambda: user.post("/ingest/map", **too_large))
    assert refused.status == 413


async def test_a_form_needs_its_token_and_the_same_site(user: Browser) -> None:
    assert user.post("/ingest/map", do="try", topic="a", token="x").status == 403
    assert user.sending({"sec-fetch-site": "cross-site"}).post("/ingest/map", do="try", topic="a").status == 403


async def test_listening_is_not_interrupted(stack: Stack, console: Console, user: Browser) -> None:
    listening = asyncio.create_task(asyncio.to_thread(user.post, "/ingest/map", do="listen", topic="boiler/#"))
    await console.says("ana listens to 'boiler/#'")
    await stack.publish(("boiler/a", b'{"temp": 4.5}'))
    answer = await listening
    assert answer.status == 200
    assert "1 message on boiler/#" in answer.text


async def test_a_browser_that_leaves_ends_its_listening(console: Console, user: Browser) -> None:
    form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "host": NAME}
    cookie = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
    connection = user.connect()
    body = urlencode({"token": user.token, "do": "listen", "topic": "left/#"})
    connection.request("POST", "/ingest/map", body, {**form, "cookie": cookie})
    await console.says("ana listens to 'left/#'")
    connection.close()
    await console.says("a browser that listened has disconnected")


async def test_an_export_that_ended_early_does_not_seem_complete(stack: Stack, console: Console, user: Browser) -> None:
    await stack.execute(MANY_LETTERS)
    cookie = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
    connection = user.connect()
    connection.request("GET", "/ingest/dead/export", headers={"host": NAME, "cookie": cookie})
    response = connection.getresponse()
    assert response.status == 200
    assert response.read(1)
    console.kill()
    with pytest.raises(IncompleteRead):
        response.read()
    connection.close()
    assert user.get("/ingest/").status == 502
