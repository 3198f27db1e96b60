"""A receiver, a writer or a simulator as a child process, started and watched as the servers are."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import ClassVar

from ops.embedded import Server

READY_TIMEOUT_S = 1.0


class Service(Server):
    """`python -m` and the name of a service; it has started when it is ready."""

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        super().__init__(directory, port)
        self._variables = {**environment, "METRICS_PORT": str(port)}

    @property
    def url(self) -> str:
        """Where its metrics are."""
        return f"http://{self.host}:{self.port}/metrics"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", self.name]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        connection = HTTPConnection(self.host, self.port, timeout=READY_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except HTTPException:
            return False
        finally:
            connection.close()


class Receiver(Service):
    """MQTT → stream."""

    name: ClassVar[str] = "receiver"


class Writer(Service):
    """Stream → database."""

    name: ClassVar[str] = "writer"


class Simulator(Server):
    """`traksense-ingest simulate`: publishes until it is stopped."""

    name: ClassVar[str] = "simulator"

    def __init__(self, directory: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(directory, port=0)
        self._arguments = arguments
        self._variables = environment

    @property
    def url(self) -> str:
        """It listens nowhere."""
        return ""

    def _ports(self) -> list[int]:
        return []

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "ops", "simulate", "--no-progress", *self._arguments]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        return self.running
