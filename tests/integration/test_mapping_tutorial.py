"""docs/mappings.md: its commands, one after another, on real servers.

`pytest tests/integration/test_mapping_tutorial.py --rewrite` puts what they say now into the page.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.support.stack import Stack
from tests.support.transcript import Direction, Shell, Step, followed, rewritten
from tests.support.waiting import eventually
from traksense_ingest.ops.mapping.library import format_of, names
from traksense_ingest.shared.config import Settings

PAGE = Path(__file__).parents[2] / "docs" / "mappings.md"
UNIX_MS = 1_735_689_600_000  # 2025-01-01: no clock of a machine that runs this is behind it
(TOPICS,) = re.findall(r"^MQTT_TOPICS='(.*?)'", PAGE.read_text(), re.MULTILINE)

pytestmark = [
    pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]


class Scene:
    """A pipeline, a shell beside it, and two greenhouses."""

    def __init__(self, stack: Stack, shell: Shell, directory: Path) -> None:
        self._stack, self._shell, self._directory = stack, shell, directory
        self._numbers = itertools.count()
        self._services: list[Process] = []

    async def run(self, step: Step) -> str:
        """What a command says. While one listens, the greenhouses publish."""
        running = asyncio.create_task(self._shell.run(step.command))
        if "--live" in step.command:
            await eventually(lambda: self._published(running), "the command ends")
        return await running

    async def _published(self, running: asyncio.Task[str]) -> bool:
        await self._publish()
        return running.done()

    async def _publish(self) -> None:
        number = next(self._numbers)
        payload = (
            b'{"ts": %d, "fw": "2.1", "air": {"temp": 21.%d, "hum": 60}, "door": false}'
            % (UNIX_MS + number * 1000, number % 9 + 1)
        )  # fmt: skip
        await self._stack.publish((f"greenhouse/gh-{number % 2 + 1}/up", payload))

    async def follow(self, direction: Direction) -> None:
        match direction.text:
            case "three messages before there is a mapping":
                self._services = [
                    await self._stack.receiver(MQTT_TOPICS=TOPICS, MQTT_CLIENT_ID="before"),
                    await self._stack.writer(),
                ]
                for _ in range(3):
                    await self._publish()
                await self._stack.has_rows("ingest_errors", 3)
                assert [service.stop() for service in self._services] == [0, 0]
            case "the services are started again, and a message comes":
                file = self._directory / "greenhouse.yaml"
                await self._stack.receiver(INGEST_MAPPINGS=file)
                await self._stack.writer(INGEST_MAPPINGS=file)
                await self._publish()
                await self._stack.has_rows("ts_measure", 3)
            case "stored":
                await self._stack.has_rows("ts_measure", 12)
            case other:
                raise AssertionError(f"{PAGE.name}: unknown direction {other!r}")


@pytest.fixture
async def scene(stack: Stack, tmp_path: Path) -> AsyncIterator[Scene]:
    directory = tmp_path / "here"
    directory.mkdir()
    async with Shell.started(directory, stack.environment | {"COLUMNS": "100"}) as shell:
        yield Scene(stack, shell, directory)


@pytest.mark.long
async def test_each_command_says_what_the_page_shows(scene: Scene, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    said = await followed(scene, page)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(rewritten(page, said))
        return
    for step, output in said:
        assert comparable(output) == comparable("\n".join(step.output)), step.command


def comparable(output: str) -> list[str]:
    """Without the figures, which are other ones in each run, and as many blanks as they take."""
    return [" ".join(re.sub(r"\d+(\.\d+)?", "0", line).split()) for line in output.rstrip().splitlines()]


def test_the_topics_are_added_to_the_default_ones() -> None:
    settings = Settings(_env_file=None, mqtt_topics=TOPICS)  # type: ignore[call-arg]
    default = Settings(_env_file=None).mqtt_topics  # type: ignore[call-arg]
    assert [*settings.mqtt_topics] == [*default, "greenhouse/#"]


def test_the_library_is_as_formats_lists_it() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \| (.*) \|$", PAGE.read_text().partition("## The library")[2], re.M)
    found = [format_of(name) for name in names()]
    assert [(name, what, re.findall(r"`(\w+)`", variables)) for name, what, variables in rows] == [
        (each.name, each.mapping.description, [*each.vars]) for each in found
    ]
    assert [re.findall(r"\*\*`(\w+)`", variables) for _, _, variables in rows] == [each.needed for each in found]
