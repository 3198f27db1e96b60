"""`traksense-ingest up` as a new user runs it, on ports of the test's own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ops.embedded import free_port
from ops.embedded.orphans import processes_in
from tests.support.waiting import eventually

PORTS = ("UP_MQTT_PORT", "UP_MQTT5_PORT", "UP_REDIS_PORT", "UP_POSTGRES_PORT", "METRICS_PORT")  # the last one is two


class Up:
    """The command in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        first = free_port(len(PORTS) + 1)
        self.ports = {name: first + number for number, name in enumerate(PORTS)}
        self.log = directory / "up.log"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **{name: str(port) for name, port in self.ports.items()}, "PYTHONUNBUFFERED": "1"}

    @property
    def urls(self) -> dict[str, str]:
        return {
            "MQTT_URL": f"mqtt://127.0.0.1:{self.ports['UP_MQTT_PORT']}",
            "DATABASE_URL": f"postgresql://postgres:postgres@127.0.0.1:{self.ports['UP_POSTGRES_PORT']}/traksense",
        }

    def start(self, *arguments: str) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops", "up", *arguments],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    async def says(self, text: str) -> None:
        await eventually(lambda: text in self.said or self.process.poll() is not None, lambda: self.said, timeout=120)
        assert text in self.said, self.said

    def stop(self, signum: int = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return self.process.wait(60)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        metrics = self.ports["METRICS_PORT"]
        return subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            cwd=self.directory,
            env={**self.environment, **self.urls, "METRICS_PORT": str(metrics)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    async def count(self, table: str, condition: str = "true") -> int:
        connection = await asyncpg.connect(self.urls["DATABASE_URL"])
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}"))
        finally:
            await connection.close()


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.process.poll() is None:
        up.process.kill()
        up.process.wait()
    await eventually(lambda: not children_in(tmp_path), "no child outlives it")


def children_in(directory: Path) -> list[int]:
    parts = [directory / ".traksense", *(directory / ".traksense").glob("*"), directory / ".traksense/postgres/pgdata"]
    return [pid for part in parts if part.is_dir() for pid in processes_in(part)]


async def test_rows_in_a_table_and_all_checks_passed(up: Up) -> None:
    up.start()
    await up.says("publish   mosquitto_pub -h 127.0.0.1")
    metrics = up.ports["METRICS_PORT"]
    checked = up.command(
        "validate",
        "--json",
        "--receiver-metrics",
        f"http://127.0.0.1:{metrics}/metrics",
        "--writer-metrics",
        f"http://127.0.0.1:{metrics + 1}/metrics",
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    report = json.loads(checked.stdout)
    assert report["passed"] is True
    assert [check["passed"] for check in report["checks"]] == [True] * 5
    assert await up.count("ts_measure", "tenant_id LIKE 'validate-%'") == 0, "it removes what it wrote"
    assert up.stop() == 0


async def test_what_is_simulated_is_what_is_stored_also_over_a_restart(up: Up) -> None:
    up.start()
    await up.says("publish   mosquitto_pub")
    published = up.command("simulate", "--messages", "300", "--rate", "300", "--bad", "0.1", "--seed", "7", "--json")
    assert published.returncode == 0, published.stderr
    tally = json.loads(published.stdout)
    assert up.stop() == 0, up.said
    assert re.findall(r"stopping (\w+) …", up.said) == ["broker", "receiver", "writer", "postgres", "redis"]

    up.start()
    await up.says("publish   mosquitto_pub")
    assert await up.count("ts_measure") == tally["expected_rows"]["ts_measure"]
    assert await up.count("cmd_ack") == tally["expected_rows"]["cmd_ack"]
    assert await up.count("device_event") == tally["expected_rows"]["device_event"]
    assert await up.count("ingest_errors") == tally["expected_rows"]["ingest_errors"]
    assert up.stop(signal.SIGTERM) == 0


async def test_a_crashed_part_is_shown_and_restarted(up: Up) -> None:
    up.start("--simulate", "5")
    await up.says("publish   mosquitto_pub")
    (writer,) = [pid for pid in processes_in(up.directory / ".traksense") if _is(pid, "writer")]
    os.kill(writer, signal.SIGKILL)
    await up.says("writer was killed by signal 9: starting it again")
    before = await up.count("ts_measure")
    await eventually(lambda: _grows(up, before), "rows again", timeout=120)
    assert up.stop() == 0


def _is(pid: int, service: str) -> bool:
    return service.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


async def _grows(up: Up, before: int) -> bool:
    return await up.count("ts_measure") > before


async def test_a_busy_port_is_named_with_the_variable(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up.ports["UP_REDIS_PORT"] = taken.getsockname()[1]
        up.start()
        assert up.process.wait(60) == 2
    last = up.said.strip().splitlines()
    assert any(f"port {up.ports['UP_REDIS_PORT']} (redis) is taken by another program" in line for line in last)
    assert any("UP_REDIS_PORT" in line and "REDIS_URL" in line for line in last)
    assert "Traceback" not in up.said


async def test_killed_with_9_it_leaves_nothing_behind(up: Up) -> None:
    up.start()
    await up.says("publish   mosquitto_pub")
    up.process.kill()
    up.process.wait()
    await eventually(lambda: not children_in(up.directory), "no child outlives it")
    up.start()
    await up.says("publish   mosquitto_pub")
    assert up.stop() == 0
