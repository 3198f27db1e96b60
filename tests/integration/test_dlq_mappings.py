"""`dlq show` and `dlq replay` warn where the writers run with other mappings than the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dead_letters import TOPIC, dead_letter, in_process
from tests.support.mapping_files import Folder, readings
from tests.support.redis_users import add_users, as_user, refusals
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.heartbeat import writers

WARNING = "warning: the writers run with other mappings than this command (readings): give it their INGEST_MAPPINGS"
COMMANDS = (("show", 1), ("replay", "--all", "--dry-run"), ("replay", "--all"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    return folder


async def warnings(stack: Stack, *arguments: object, **variables: object) -> str:
    """What a command says on stderr, which ends with exit code 0."""
    done = await in_process(stack, *arguments, **variables)
    assert done.exit_code == 0, done.output
    return done.stderr


async def has_writer(stack: Stack) -> bool:
    return bool(await writers(stack.clients))


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(map(str, words)))
async def test_other_mappings_than_the_writers_have(stack: Stack, folder: Folder, arguments: tuple[object]) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    assert "warning" not in await warnings(stack, *arguments), "no writer runs"
    await stack.writer(INGEST_MAPPINGS=folder)
    await eventually(lambda: has_writer(stack))
    assert (await warnings(stack, *arguments)).count(WARNING) == 1
    assert "warning" not in await warnings(stack, *arguments, INGEST_MAPPINGS=folder)
    folder.put(readings("{path: temp, unit: °C}").replace("v_num: 4.5", "v_num: 4.5, unit: °C"))
    assert WARNING in await warnings(stack, *arguments, INGEST_MAPPINGS=folder), "the same name, another content"


async def test_a_receivers_redis_user_may_read_what_writers_run_with(stack: Stack, folder: Folder) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await add_users(stack.redis)
    await stack.writer(INGEST_MAPPINGS=folder)
    await eventually(lambda: has_writer(stack))
    url = as_user(stack, "receiver")
    assert WARNING in await warnings(stack, "replay", "--all", REDIS_URL=url)
    assert await refusals(stack.redis) == []


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1/0?nothing=1"])
async def test_without_redis_nothing_is_said(stack: Stack, url: str) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    for arguments in COMMANDS[:2]:
        assert "warning" not in await warnings(stack, *arguments, REDIS_URL=url)
