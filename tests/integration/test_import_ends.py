"""An import that is interrupted or loses a server says how far it came, and the same command goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.dead_letters import entries
from tests.support.imports import TABLE, Import, appended, history, imports, json_lines, make_table, succeeds
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import imports_of

pytestmark = pytest.mark.long  # of `make test-all`

SENT = history(60)
IN_STREAM = [(topic.encode(), payload) for topic, payload in SENT]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_text(json_lines(SENT))
    return path


async def holds(stack: Stack, entries_: int) -> bool:
    return await appended(stack) >= entries_


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_it_after_the_batch_and_says_how_to_go_on(
    stack: Stack, file: Path, tmp_path: Path, signum: int
) -> None:
    running = Import(stack, tmp_path / "log", file, "--rate", 20)
    await eventually(lambda: holds(stack, 8))
    running.popen.send_signal(signum)
    assert await running.ends() == 1
    done = await appended(stack)
    how = "the same command, without --restart, goes on with them"
    assert running.log.splitlines()[-1] == f"{done} messages imported, {60 - done} left: {how}"
    assert "Traceback" not in running.log
    said = await succeeds(stack, file)
    assert said == f"{60 - done} messages imported; {done} were imported before: --restart imports them again\n"
    assert await entries(stack) == IN_STREAM


async def test_ctrl_c_ends_one_that_waits_for_room(stack: Stack, file: Path, tmp_path: Path) -> None:
    running = Import(stack, tmp_path / "log", file, INGEST_QUEUE_MAX=4)
    await eventually(lambda: "waiting for the writers" in running.log)
    running.popen.send_signal(signal.SIGINT)
    assert await running.ends() == 1
    assert "2 messages imported, 58 left" in running.log
    assert "Traceback" not in running.log


async def test_a_restart_that_is_interrupted_goes_on_too(stack: Stack, file: Path) -> None:
    await succeeds(stack, file)
    said = await succeeds(stack, file, "--restart", "--limit", 20)
    assert said.startswith("20 messages imported, 40 left")
    assert (await succeeds(stack, file)).startswith("40 messages imported; 20 were imported before")
    assert await entries(stack) == IN_STREAM * 2


@pytest.mark.long
async def test_redis_goes_in_the_middle(stack: Stack, file: Path, tmp_path: Path) -> None:
    running = Import(stack, tmp_path / "log", file, "--rate", 20)
    await eventually(lambda: holds(stack, 8))
    stack.redis_server.stop()
    assert await running.ends() == 1
    message, failed = running.log.splitlines()[-2:]
    assert failed.startswith("REDIS_URL=redis://127.0.0.1:")
    assert "messages imported, " in message
    assert "Traceback" not in running.log


async def test_the_database_goes_in_the_middle(stack: Stack, tmp_path: Path) -> None:
    await make_table(stack, SENT)
    running = Import(stack, tmp_path / "log", *TABLE, "--rate", 20)
    await eventually(lambda: holds(stack, 8))
    await stack.refuse_connections()
    assert await running.ends() == 1
    message, failed = running.log.splitlines()[-2:]
    assert failed.startswith("DATABASE_URL=postgresql://")
    assert "messages imported, " in message
    assert "Traceback" not in running.log
    await stack.allow_connections()
    await succeeds(stack, *TABLE)
    assert await entries(stack) == IN_STREAM


async def test_a_mark_that_something_else_has_written_is_one_line(stack: Stack, file: Path) -> None:
    await succeeds(stack, file)
    fields = await stack.redis.hkeys(imports_of(0))
    await stack.redis.hset(imports_of(0), fields[0], "5")
    done = await imports(stack, file)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "ingest:{0}:imports: b'5' is not how far an import is" in done.stderr
    await stack.redis.delete(imports_of(0))
    await stack.redis.set(imports_of(0), "5")
    done = await imports(stack, file)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "ingest:{0}:imports" in done.stderr
