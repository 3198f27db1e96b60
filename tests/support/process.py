"""A receiver or a writer as a real process, configured by its environment, watched from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from ops.embedded import free_port
from tests.support.waiting import eventually

EXIT_TIMEOUT_S = 30.0


class Process:
    """`python -m receiver` or `python -m writer`. Its log goes to a file that an assertion can quote."""

    def __init__(self, service: str, environment: Mapping[str, str], directory: Path) -> None:
        self.port = free_port()
        self.log_path = directory / f"{service}-{self.port}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", service],
                env={**clean, "METRICS_PORT": str(self.port), "METRICS_HOST": "127.0.0.1", **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_path.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its HTTP paths; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, 0 while it isn't there."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0

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


_OURS = ("MQTT_", "REDIS_", "INGEST_", "DATABASE_", "DB_", "METRICS_", "LOG_")
