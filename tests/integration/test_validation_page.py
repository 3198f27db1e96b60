"""docs/validation.md: each of its commands does on real servers what the page shows.

`pytest tests/integration/test_validation_page.py --rewrite` puts what they say now into the page.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.support.stack import Stack
from tests.support.transcript import Direction, Shell, Step, followed, rewritten, shape
from tests.support.waiting import eventually
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.streams.snapshot import read_snapshot

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
PROGRAMS = ("bash", "curl", "psql", "redis-cli", "mosquitto_pub")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
PATIENT = "--points 1000 --min-rate 1 --max-p50 60"  # a busy machine has to pass too


class Scene:
    """What the page presupposes: the two services, on the ports that they have by default."""

    def __init__(self, stack: Stack, shell: Shell, options: str) -> None:
        self._stack = stack
        self._shell = shell
        self._options = options  # of `validate`
        self._writer: Process | None = None

    async def start(self) -> None:
        receiver = await self._stack.receiver()
        await self._shell.run(f"RECEIVER={receiver.port}")
        await self._start_writer()

    async def run(self, step: Step) -> str:
        if step.command == "traksense-ingest validate":
            return self._named(await self._shell.run(f"{step.command} {self._options} $VALIDATE"))
        before = await self._added()
        said = self._named(await self._shell.run(step.command))
        if step.command.startswith("mosquitto_pub"):
            await eventually(lambda: self._has_added(before + 1), "the message is in the stream")
        return said

    async def follow(self, direction: Direction) -> None:
        match direction.text:
            case "stored":
                await eventually(self._is_drained, "nothing in the stream")
            case "the writer is stopped":
                assert self._writer
                assert self._writer.stop() == 0
            case "the writer is started":
                await self._start_writer()
            case "balanced":
                await self._stack.is_well()
            case other:
                raise AssertionError(f"{PAGE.name}: unknown direction {other!r}")

    def _named(self, said: str) -> str:
        """With the names and ports that a reader has."""
        names = {
            self._stack.broker.url: "mqtt://localhost:1883",
            self._stack.redis_server.url: "redis://localhost:6379/0",
            redacted(self._stack.database_url): "postgresql://postgres:***@localhost:5432/traksense",
            socket.gethostname(): "host",
        }
        for name, shown in names.items():
            said = said.replace(name, shown)
        return said

    async def _start_writer(self) -> None:
        self._writer = await self._stack.writer()
        await self._shell.run(f"WRITER={self._writer.port}")
        metrics = "http://127.0.0.1:$WRITER/metrics --receiver-metrics http://127.0.0.1:$RECEIVER/metrics"
        await self._shell.run(f'VALIDATE="--writer-metrics {metrics}"')

    async def _is_drained(self) -> bool:
        return await self._stack.backlog() == 0

    async def _has_added(self, count: int) -> bool:
        return await self._added() == count

    async def _added(self) -> int:
        return (await read_snapshot(self._stack.clients, 0)).added


@pytest.fixture
async def scene(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    variables = stack.environment | {"COLUMNS": "120", "PGTZ": "UTC", "PAGER": "cat", "LOG_LEVEL": "WARNING"}
    async with Shell.started(tmp_path, variables) as shell:
        ports = 'local a=("${@//:9100/:$WRITER}"); command curl "${a[@]//:9101/:$RECEIVER}"'
        await shell.run(f"curl() {{ {ports}; }}")
        scene = Scene(stack, shell, "" if request.config.getoption("--rewrite") else PATIENT)
        await scene.start()
        yield scene


@pytest.mark.long
@pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}")
async def test_each_command_says_what_the_page_shows(scene: Scene, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    said = await followed(scene, page)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(rewritten(page, said))
        return
    for step, output in said:
        assert comparable(output) == comparable("\n".join(step.output)), step.command


def comparable(output: str) -> str:
    """Without figures that differ from run to run, and what depends on them."""
    without_times = re.sub(r"\b0 (ms|s|min)\b|–", "time", shape(output))
    return re.sub(r"(\s|-{3,})+", " ", without_times).strip()
