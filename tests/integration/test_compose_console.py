"""The console of docker-compose.yml, with the commands of docs/console.md."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from contextlib import closing

import pytest

from tests.compose.engine import SLOW_S, docker
from tests.compose.project import Project, publishing
from tests.support.console import PASSWORD, Browser
from tests.support.handbook import DOCS
from tests.support.pages import opened_pages
from tests.support.terminal import Terminal
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded.ports import port_is_free

pytestmark = pytest.mark.long

PAGE = (DOCS / "console.md").read_text()
(ADD_USER,) = re.findall(r"^    docker run (.*) \\\n +(console user .*)$", PAGE, re.MULTILINE)
(OWNER,) = re.findall(r"^    sudo chown (\d+) deploy/console-users.txt", PAGE, re.MULTILINE)
(IMAGE,) = (word for word in ADD_USER[0].split() if word.startswith("traksense-ingest:"))
(FILE,) = re.findall(r"--users (\S+)", ADD_USER[1])


async def test_what_the_page_says(project: Project) -> None:
    await add_user(project, "ana")
    docker("run", "--rm", "-u", "0", *mounted(project), "--entrypoint", "chown", IMAGE, OWNER, FILE)
    await add_user(project, "rui")
    project.set(COMPOSE_PROFILES="console")
    await project.compose("up -d")
    names = [name for service in ("receiver", "writer", "console") for name in await project.containers(service)]
    await eventually(lambda: are_healthy(names), "each is healthy", SLOW_S)

    async with publishing(project, "--tenant=load", "--devices=5", "--messages=200", "--rate=100", "--bad=0.1") as sent:
        await sent
    browser = Browser(project.console_port)
    for name in ("ana", "rui"):
        answer = await asyncio.to_thread(browser.log_in, name)
        assert (answer.status, answer.location) == (303, "/")
    assert browser.get("/healthz").body == "ok\n"
    await eventually(lambda: is_good(browser), "the verdict is good", SLOW_S)
    for path in (*opened_pages(), "/dead/1"):
        page = await asyncio.to_thread(browser.get, path)
        assert page.status == 200, (path, page.body)
    assert "parse_error" in browser.get("/dead").text
    assert browser.post("/map", do="example", mapping="library:tasmota").location == "/map?library=tasmota"
    assert (await asyncio.to_thread(browser.post, "/map", do="listen", topic="traksense/#")).status == 200

    log = await project.compose("logs --no-log-prefix console")
    assert "rui has logged in, from " in log
    assert not re.search(r'"level": ?"(warning|error)"', log, re.IGNORECASE), log
    await project.compose("stop")
    codes = dict(line.split() for line in project.ended())
    assert codes[f"/{project.name}-console-1"] == "0", codes
    assert {name for name, code in codes.items() if code == "137"} == set()
    assert port_is_free(project.console_port)


def mounted(project: Project) -> list[str]:
    return ["-v", f"{project.users.parent}:/deploy"]


async def add_user(project: Project, name: str) -> None:
    """As an operator types it at a terminal."""
    words = shlex.split(" ".join(ADD_USER).replace("user ana", f"user {name}"))
    words[words.index("./deploy:/deploy")] = mounted(project)[1]
    with closing(Terminal(os.environ, "docker", "run", *words)) as terminal:
        for prompt in ("password: ", "Repeat for confirmation: "):
            await eventually(lambda: prompt in terminal.seen, lambda: f"{prompt!r}: {terminal.seen}", SLOW_S)  # noqa: B023
            terminal.type(f"{PASSWORD}\n")
        assert await terminal.ends() == 0, terminal.seen
        assert f"{name} is added" in terminal.seen


def are_healthy(names: list[str]) -> bool:
    states = docker("inspect", "--format", "{{.State.Health.Status}}", *names).split()
    return states == ["healthy"] * len(names)


def is_good(browser: Browser) -> bool:
    return 'class="verdict good"' in browser.get("/").body
