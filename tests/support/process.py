"""A receiver or a writer as a real process, configured by its environment, watched from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.program import Program
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port

EXIT_TIMEOUT_S = 30.0


class Process:
    """`python -m receiver` or `python -m writer`. Its log goes to a file that an assertion can quote."""

    popen: Program | subprocess.Popen[bytes]

    def __init__(self, service: str, environment: Mapping[str, str], directory: Path, *, is_cold: bool = False) -> None:
        """A cold start is one of Python and all imports, as a user's; the others fork a process that has done that."""
        self.name = service
        self.port = free_port()
        self.log_path = directory / f"{service}-{self.port}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        given = {**clean, "METRICS_PORT": str(self.port), "METRICS_HOST": "127.0.0.1", **environment}
        with self.log_path.open("wb") as log:
            if is_cold or "LD_PRELOAD" in given:  # which is read at an exec alone
                command = [sys.executable, "-m", f"traksense_ingest.{service}"]
                self.popen = subprocess.Popen(command, env=given, stdout=log, stderr=subprocess.STDOUT)
            else:
                self.popen = Program(service, environment=given, stdout=log)

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_path.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its HTTP paths; status 0 while nobody listens."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except (OSError, HTTPException):
                return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, 0 while there is none."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(name)]
        for family in text_string_to_metric_families("\n".join(lines)):  # it is slow: no more lines than needed
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0

    async def counts(self, name: str, value: float, **labels: str) -> None:
        """Wait until a sample has this value: what follows a reply of Redis is counted a moment later."""
        await eventually(lambda: self.metric(name, **labels) == value, lambda: f"{name} {self.metric(name, **labels)}")

    async def keeps_trying(self, reason: str) -> None:
        """Wait until it has counted several errors of an outage: it goes on, and does not end."""
        errors = "ingest_errors_total"
        await eventually(lambda: self.metric(errors, reason=reason) >= 3, lambda: f"more errors; its log:\n{self.log}")

    def negative_samples(self) -> list[str]:
        """The lines of /metrics with a value below zero, which no metric of ours can have."""
        lines = self.get("/metrics")[1].splitlines()
        return [line for line in lines if not line.startswith("#") and float(line.rpartition(" ")[2]) < 0]

    async def ready(self) -> Process:
        """Wait until /readyz says so."""
        await eventually(self._is_ready_or_dead, lambda: f"ready; its log:\n{self.log}")
        assert self.popen.poll() is None, self.log
        return self

    async def says(self, text: str) -> None:
        """Wait for a text in its log."""
        await eventually(lambda: text in self.log or self._is_dead(), lambda: f"{text!r} in its log:\n{self.log}")
        assert text in self.log, f"it ended without saying {text!r}; its log:\n{self.log}"

    def signal(self, signum: int) -> None:
        """Send a signal."""
        self.popen.send_signal(signum)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.popen.wait(EXIT_TIMEOUT_S)

    def kill(self) -> None:
        """kill -9."""
        self.popen.kill()
        self.popen.wait()

    def wait(self) -> int:
        """The exit code of a process that ends by itself."""
        return self.popen.wait(EXIT_TIMEOUT_S)

    def _is_ready_or_dead(self) -> bool:
        return self.get("/readyz")[0] == 200 or self._is_dead()

    def _is_dead(self) -> bool:
        return self.popen.poll() is not None


OURS = ("MQTT_", "CONSOLE_", "REDIS_", "INGEST_", "DATABASE_", "MIGRATE_", "DB_", "METRICS_", "LOG_")
