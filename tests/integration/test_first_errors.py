"""What somebody meets on the first day, with nothing there: one line, which says what to do next, and no password."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.process import Process

NOWHERE = {
    "MQTT_URL": "mqtt://u:secret@127.0.0.1:1",
    "REDIS_URL": "redis://u:secret@127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x",
}
DATABASE = "; start it, or mend DATABASE_URL"
COMMANDS = ["up", "migrate", "receiver", "writer", "status", "dlq list", "validate", "simulate --messages 1"]


async def run(directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ops", *words],
        env={"PYTHONPATH": ":".join(sys.path), **NOWHERE, **variables},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def is_one_line(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, ""), done
    assert all(text in done.stderr for text in said), done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "words",
    ["dlq list", "dlq show 1", "dlq replay --all", "dlq export", "dlq purge --older-than 1d", "status --accept-loss"],
)
async def test_no_database(tmp_path: Path, words: str) -> None:
    is_one_line(await run(tmp_path, *words.split()), 1, "DATABASE_URL=postgresql://u:***@127.0.0.1:1/x: ", DATABASE)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_wrong_variable(tmp_path: Path, command: str) -> None:
    done = await run(tmp_path, *command.split(), METRICS_PORT="high")
    is_one_line(done, 2, "METRICS_PORT='high' is not allowed; allowed: a port, 0 to 65535")


@pytest.fixture
async def taken() -> AsyncIterator[int]:
    """A port that somebody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("service", ["receiver", "writer"])
async def test_a_metrics_port_that_is_taken(tmp_path: Path, taken: int, service: str) -> None:
    done = await run(tmp_path, service, METRICS_PORT=str(taken), METRICS_HOST="127.0.0.1")
    is_one_line(done, 2, f"port {taken} on 127.0.0.1 can't be used", "set METRICS_PORT to another")


async def test_a_port_of_up_that_is_taken(tmp_path: Path, taken: int) -> None:
    done = await run(tmp_path, "up", "--mqtt-port", str(taken), "--mqtt5-port", str(taken), MQTT_URL="")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (2, "", 1), done
    assert f"port {taken} (broker) is taken by another program: stop it, set MQTT_URL" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("up --directory file/data", "--directory file/data: Not a directory; choose another"),
        ("dlq purge", "Missing option '--older-than'. See: traksense-ingest dlq purge --help"),
        ("migrate now", "Got unexpected extra argument (now). See: traksense-ingest migrate --help"),
        ("status --watch --accept-loss", "--accept-loss: not together with --watch"),
        ("simulate --start today", "is no RFC 3339 timestamp, as 2025-10-07T15:30:00Z"),
    ],
)
async def test_a_wrong_command_line(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "file").touch()
    is_one_line(await run(tmp_path, *words.split()), 2, said)


async def test_no_such_file(tmp_path: Path) -> None:
    is_one_line(await run(tmp_path, "receiver", MQTT_TLS_CA="/nowhere"), 2, "MQTT_TLS_CA='/nowhere'", "a PEM file")


@pytest.mark.parametrize(("service", "part"), [("receiver", "redis"), ("writer", "redis")])
async def test_a_service_waits_and_says_which_variable_it_goes_by(tmp_path: Path, service: str, part: str) -> None:
    process = Process(service, NOWHERE, tmp_path)
    await process.says(f"{part} is away, waiting for it: ")
    (line,) = [line for line in process.log.splitlines() if "is away" in line]
    assert line.endswith("(REDIS_URL=redis://u:***@127.0.0.1:1/0)")
    assert process.stop() == 0


def test_migrate_waits_and_says_which_variable_it_goes_by(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ops", "migrate"]
    env = {"PYTHONPATH": ":".join(sys.path), **NOWHERE}
    with subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr
        line = waiting.stderr.readline()
        assert line.endswith("(DATABASE_URL=postgresql://u:***@127.0.0.1:1/x)\n")
        waiting.kill()
