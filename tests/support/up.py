"""`traksense-ingest up` as a process of its own, on ports of the test's own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg

from tests.support import program
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.postgres import processes_in

PORTS = ("UP_MQTT_PORT", "UP_MQTT5_PORT", "UP_POSTGRES_PORT", "UP_REDIS_PORT", "METRICS_PORT", "CONSOLE_PORT")
REDIS_PORTS, METRICS_PORTS = 16, 4  # in a row, for a cluster and some writers


class Up:
    """The command in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        first = free_port(3 + REDIS_PORTS + METRICS_PORTS + 1)
        offsets = (0, 1, 2, 3, 3 + REDIS_PORTS, 3 + REDIS_PORTS + METRICS_PORTS)
        self.ports = {name: first + offset for name, offset in zip(PORTS, offsets, strict=True)}
        self.log = directory / "up.log"

    @property
    def environment(self) -> dict[str, str]:
        """With its ports."""
        return {**os.environ, **{name: str(port) for name, port in self.ports.items()}, "PYTHONUNBUFFERED": "1"}

    @property
    def urls(self) -> dict[str, str]:
        """Of its broker and its database, for commands."""
        return {
            "MQTT_URL": f"mqtt://127.0.0.1:{self.ports['UP_MQTT_PORT']}",
            "DATABASE_URL": f"postgresql://postgres:postgres@127.0.0.1:{self.ports['UP_POSTGRES_PORT']}/traksense",
        }

    def start(self, *arguments: str, **variables: str) -> None:
        """Start it, without waiting."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "traksense_ingest.ops", "up", *arguments],
                cwd=self.directory,
                env=self.environment | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text()

    async def says(self, text: str) -> None:
        """Wait for a text in its output."""
        await eventually(lambda: text in self.said or self.process.poll() is not None, lambda: self.said, timeout=120)
        assert text in self.said, self.said

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(60)

    @property
    def links(self) -> list[str]:
        """What has opened the console, and at the end what opens it now."""
        return re.findall(r"^console   (\S+)$", self.said, re.MULTILINE)

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run another command with its addresses, or with these variables instead."""
        environment = {**self.environment, **(variables or self.urls)}
        return program.run("ops", *arguments, environment=environment, timeout=120)

    async def count(self, table: str, condition: str = "true") -> int:
        """Rows in its database."""
        connection = await asyncpg.connect(self.urls["DATABASE_URL"])
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}"))
        finally:
            await connection.close()


def children_in(directory: Path) -> list[int]:
    """The processes that work in its directories."""
    parts = [
        directory,
        directory / ".traksense",
        *(directory / ".traksense").glob("*"),
        directory / ".traksense/postgres/pgdata",
    ]
    return [pid for part in parts if part.is_dir() for pid in processes_in(part) if pid != os.getpid()]


def is_service(pid: int, service: str) -> bool:
    """Whether a process is the service of that name."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"\0traksense_ingest.ops\0{service}\0".encode())
