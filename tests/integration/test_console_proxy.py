"""The console behind a reverse proxy with a path prefix, which one proxy passes on and another one removes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.console import PASSWORD, Browser, Console, add_user, running
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.ports import port_is_free

pytestmark = pytest.mark.long  # of `make test-all`

NAME = "ingest.example.com"
CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend everybody
    bind 127.0.0.1:{port}
    default_backend console
backend console
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    {rule}
    server console 127.0.0.1:{console}
"""
PASSED_ON, REMOVED = "", "http-request replace-path /ingest(/)?(.*) /\\2"


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """Its servers are all down."""
    port, users = free_port(), tmp_path / "users.txt"
    add_user(users, "ana")
    environment = {"REDIS_URL": f"redis://127.0.0.1:{port}", "DATABASE_URL": f"postgresql://u:p@127.0.0.1:{port}/d"}
    words = ["--prefix", "/ingest", "--allow-host", NAME, "--users", str(users)]
    async with running(environment, tmp_path, *words) as console:
        yield console


@pytest.fixture(params=[PASSED_ON, REMOVED], ids=["passed on", "removed"])
async def proxy(request: pytest.FixtureRequest, console: Console, tmp_path: Path) -> AsyncIterator[int]:
    """Its port."""
    haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not Path(haproxy).exists():
        pytest.skip("haproxy is not installed here")
    port, file = free_port(), tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(port=port, console=console.port, rule=request.param))
    with (tmp_path / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220
            [haproxy, "-db", "-f", str(file)], stdout=log, stderr=log
        )
    await eventually(lambda: not port_is_free(port))
    yield port
    process.kill()
    process.wait()


async def test_all_links_stay_below_the_prefix(console: Console, proxy: int) -> None:
    browser = Browser(proxy, NAME)
    assert browser.get("/ingest/").location == "/ingest/login?next=%2F"
    answer = browser.post("/ingest/login", name="ana", password=PASSWORD, next="/")
    assert answer.location == "/ingest/"
    cookie = answer.headers["set-cookie"].lower()
    assert {"path=/ingest", "secure"} <= {part.strip() for part in cookie.split(";")}
    page = browser.get("/ingest/")
    assert page.status == 200
    links = [link for link in re.findall(r'(?:href|src|action)="([^"]+)"', page.body) if not link.startswith("#")]
    assert links
    assert all(link.startswith("/ingest/") for link in links), links
    assert browser.get(next(link for link in links if link.endswith(".css"))).status == 200
    await console.says("console: ana has logged in, from 127.0.0.1")
    assert browser.post("/ingest/logout").location == "/ingest/login"


async def test_a_name_that_is_not_allowed_is_not_answered(proxy: int) -> None:
    assert Browser(proxy, "evil.example").get("/ingest/login").status == 421
    assert urlsplit(Browser(proxy, NAME).get("/ingest/").location).netloc == ""
