"""What somebody meets on the first day, with nothing there: one line, which says what to do next, and no password."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import program
from tests.support.process import Process

NOWHERE = {
    "MQTT_URL": "mqtt://u:secret@127.0.0.1:1",
    "REDIS_URL": "redis://u:secret@127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x",
}
DATABASE = "; start it, or fix DATABASE_URL"
COMMANDS = ["up", "migrate", "receiver", "writer", "status", "dlq list", "validate", "simulate --messages 1"]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run(*words: str, module: str = "ops", **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of `traksense-ingest`, or a module by its name."""
    return await asyncio.to_thread(program.run, module, *words, environment=NOWHERE | variables)


def is_one_line(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, ""), done
    assert all(text in done.stderr for text in said), done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "words",
    ["dlq list", "dlq show 1", "dlq replay --all", "dlq export", "dlq purge --older-than 1d", "status --accept-loss"],
)
async def test_no_database(words: str) -> None:
    is_one_line(await run(*words.split()), 1, "DATABASE_URL=postgresql://u:***@127.0.0.1:1/x: ", DATABASE)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_wrong_variable(command: str) -> None:
    done = await run(*command.split(), METRICS_PORT="high")
    is_one_line(done, 2, "METRICS_PORT='high' is not allowed; allowed: a port, 0 to 65535")


def is_json(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Each line of stderr is an object, and these are their messages' beginnings."""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, done.stdout, len(lines)) == (2, "", len(said)), done
    for line, text in zip(lines, said, strict=True):
        assert line["level"] == "CRITICAL"
        assert line["message"].startswith(text)


@pytest.mark.parametrize("command", COMMANDS)
async def test_wrong_variables_are_json_where_the_log_is(directory: Path, command: str) -> None:
    """LOG_FORMAT counts though others are wrong, whether the environment has it or the file."""
    (directory / ".env").write_text("LOG_FORMAT='JSON'\nINGEST_SHARDS=none\n")
    wrong = ("INGEST_SHARDS='none' is not allowed", "METRICS_PORT='high' is not allowed")
    is_json(await run(*command.split(), METRICS_PORT="high"), *wrong)
    done = await run(*command.split(), METRICS_PORT="high", INGEST_SHARDS="1", LOG_FORMAT="text")
    is_one_line(done, 2, "METRICS_PORT='high' is not allowed")


async def test_a_file_of_variables_that_is_no_text(directory: Path) -> None:
    (directory / ".env").write_bytes(b"MQTT_PASSWORD=\xe9\n")
    is_one_line(await run("writer"), 2, ".env can't be read: ", "0xe9")
    is_json(await run("writer", LOG_FORMAT="json"), ".env can't be read: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ops receiver --nope", "No such option"),
        ("ops writer now", "Got unexpected extra argument"),
        ("ops migrate --nope", "No such option"),
        ("receiver --nope", "python -m receiver: unrecognized arguments: --nope"),
        ("writer now", "python -m writer: unrecognized arguments: now"),
    ],
)
async def test_a_wrong_command_line_is_json_where_the_log_is(words: str, said: str) -> None:
    module, *arguments = words.split()
    is_json(await run(*arguments, module=module, LOG_FORMAT="json"), said)


@pytest.mark.parametrize("service", ["receiver", "writer"])
async def test_what_a_service_meets_at_its_start_is_json_where_the_log_is(
    directory: Path, taken: int, service: str
) -> None:
    (directory / ".env").write_text("LOG_FORMAT=json\n")
    done = await run(service, METRICS_PORT=str(taken), METRICS_HOST="127.0.0.1")
    is_json(done, f"port {taken} on 127.0.0.1 can't be used")
    done = await run(service, REDIS_URL="redis://h?nope=1", METRICS_PORT="0")
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()] == ["INFO", "CRITICAL"]


@pytest.fixture
async def taken() -> AsyncIterator[int]:
    """A port that another program has, which closes every connection."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("service", ["receiver", "writer"])
async def test_a_metrics_port_that_is_taken(taken: int, service: str) -> None:
    done = await run(service, METRICS_PORT=str(taken), METRICS_HOST="127.0.0.1")
    is_one_line(done, 2, f"port {taken} on 127.0.0.1 can't be used", "set METRICS_PORT to another")


async def test_a_port_of_up_that_is_taken(taken: int) -> None:
    done = await run("up", "--mqtt-port", str(taken), "--mqtt5-port", str(taken), MQTT_URL="")
    is_one_line(done, 2, f"port {taken} (broker) is taken by another program: stop it, set MQTT_URL")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("up --directory file/data", "--directory file/data: Not a directory; choose another"),
        ("dlq purge", "Missing option '--older-than'. See: traksense-ingest dlq purge --help"),
        ("migrate now", "Got unexpected extra argument (now). See: traksense-ingest migrate --help"),
        ("status --watch --accept-loss", "--accept-loss: not together with --watch"),
        ("status --watch --dismiss a", "--dismiss: not together with --watch or --accept-loss"),
        ("simulate --start today", "is not an RFC 3339 timestamp such as 2025-10-07T15:30:00Z"),
    ],
)
async def test_a_wrong_command_line(directory: Path, words: str, said: str) -> None:
    (directory / "file").touch()
    is_one_line(await run(*words.split()), 2, said)


async def test_no_such_file() -> None:
    is_one_line(await run("receiver", MQTT_TLS_CA="/nowhere"), 2, "MQTT_TLS_CA='/nowhere'", "a PEM file")


@pytest.mark.parametrize(("service", "part"), [("receiver", "redis"), ("writer", "redis")])
async def test_a_service_waits_and_says_which_variable_it_goes_by(directory: Path, service: str, part: str) -> None:
    process = Process(service, NOWHERE, directory)
    await process.says(f"{part} is unreachable, waiting for it: ")
    (line,) = [line for line in process.log.splitlines() if "is unreachable" in line]
    assert line.endswith("(REDIS_URL=redis://u:***@127.0.0.1:1/0)")
    assert process.stop() == 0


def test_migrate_waits_and_says_which_variable_it_goes_by(directory: Path) -> None:
    """As a user starts it."""
    command = [sys.executable, "-m", "traksense_ingest.ops", "migrate"]
    env = {"PYTHONPATH": ":".join(sys.path), **NOWHERE}
    with subprocess.Popen(command, env=env, cwd=directory, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr
        line = waiting.stderr.readline()
        assert line.endswith("(DATABASE_URL=postgresql://u:***@127.0.0.1:1/x)\n")
        waiting.kill()
