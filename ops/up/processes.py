"""The child processes of `up`: what they are, and who starts, restarts and stops them."""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded import Broker, Server, ServerFailed
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.ports import metrics_url
from traksense_ingest.shared.runtime.service import EXIT_MISCONFIGURED

READY_TIMEOUT_S = 1.0

RESTARTS_MAX, RESTARTS_WITHIN_S = 3, 60.0
UNRESPONSIVE_CHECKS = 5  # in a row, before a broker is killed


class Service(Server):
    """`traksense-ingest` and the name of a service; it has started when /readyz says so."""

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        super().__init__(directory, port)
        self._variables = {**environment, "METRICS_PORT": str(port)}

    @property
    def url(self) -> str:
        """Where its metrics are."""
        return metrics_url(self.port, self.host)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "traksense_ingest.ops", self.name]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        return _answers_ok(self.host, self.port, "/readyz")


class Receiver(Service):
    """MQTT → stream."""

    name: ClassVar[str] = "receiver"


class Writer(Service):
    """Stream → database."""

    name: ClassVar[str] = "writer"

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str], number: int | None = None) -> None:
        """With a number where there are several."""
        super().__init__(directory, port, environment)
        self.label = self.name if number is None else f"{self.name}-{number}"


class ConsolePages(Server):
    """`traksense-ingest console`, for this machine alone."""

    name: ClassVar[str] = "console"

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        super().__init__(directory, port)
        self._link_file = self.directory / "console.link"
        self._variables = {**environment, "CONSOLE_PREFIX": ""}

    @property
    def url(self) -> str:
        """The newest link, which can be used once; or its address if it has users."""
        with suppress(OSError):
            return self._link_file.read_text(encoding="utf-8").strip()
        return f"http://{self.host}:{self.port}/"

    def _prepare(self) -> None:
        self._link_file.unlink(missing_ok=True)  # an earlier run's

    def _command(self) -> list[str]:
        where = ["--host", self.host, "--port", str(self.port), "--link-file", str(self._link_file)]
        return [sys.executable, "-m", "traksense_ingest.ops", "console", *where]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        return _answers_ok(self.host, self.port, "/healthz")


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
        return [sys.executable, "-m", "traksense_ingest.ops", "simulate", "--no-progress", *self._arguments]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        return self.running


class GaveUp(IngestError):
    """A process crashed too often; the message has the end of its log."""


class Supervisor:
    """Some of the processes of one `up`, dependencies first."""

    def __init__(self, processes: Sequence[Server], notify: Callable[[str], None]) -> None:
        self.processes = processes
        self.restarts: dict[str, int] = defaultdict(int)
        self._notify = notify
        self._crashes: dict[str, deque[float]] = defaultdict(deque)
        self._unanswered = 0

    def require_ports(self) -> None:
        """Raise PortBusy if a process would not get its port; asked before anything is started."""
        for process in self.processes:
            process.require_ports()

    def start(self) -> None:
        """Start every process; raises PortBusy or ServerFailed."""
        for process in self.processes:
            self._notify(f"starting {process.label} …")
            process.start()

    def restart_crashed(self) -> None:
        """Restart what crashed; raises GaveUp if that doesn't help."""
        for process in self.processes:
            if isinstance(process, Broker):
                self._kill_if_unresponsive(process)
            if not process.running:
                self._restart(process)

    def stop(self) -> None:
        """Stop every process, those that depend on others first."""
        for process in reversed(self.processes):
            self.stop_process(process)

    def stop_process(self, process: Server) -> None:
        """Stop one of them."""
        if process.running:
            self._notify(f"stopping {process.label} …")
        process.stop()

    def _kill_if_unresponsive(self, broker: Broker) -> None:
        """rumqttd can lose its listening socket and run on; a crash is better, since it is restarted."""
        self._unanswered = 0 if broker.serves() else self._unanswered + 1
        if self._unanswered == UNRESPONSIVE_CHECKS:
            broker.kill()

    def _restart(self, process: Server) -> None:
        code = process.returncode
        if code == EXIT_MISCONFIGURED:
            raise GaveUp(f"{process.label} can't run as it is configured; {_log_of(process)}")
        if self._crashed_too_often(process):
            often = f"{RESTARTS_MAX + 1} times within {RESTARTS_WITHIN_S:.0f} s"
            raise GaveUp(f"giving up: {process.label} ended {often}; {_log_of(process)}")
        self._notify(f"{process.label} {_ending(code)}: restarting it (its log: {process.log_path})")
        self.restarts[process.label] += 1
        try:
            process.start()
        except ServerFailed as error:
            self._notify(str(error))  # the next check counts it as another crash

    def _crashed_too_often(self, process: Server) -> bool:
        now, crashes = time.monotonic(), self._crashes[process.label]
        crashes.append(now)
        while now - crashes[0] > RESTARTS_WITHIN_S:
            crashes.popleft()
        return len(crashes) > RESTARTS_MAX


class Optional(Supervisor):
    """Of processes that the others don't need: if one can't run, that is only reported."""

    def start(self) -> None:
        """Start every process."""
        try:
            super().start()
        except IngestError as error:
            self._give_up(error)

    def restart_crashed(self) -> None:
        """Restart what crashed, unless that doesn't help."""
        try:
            super().restart_crashed()
        except GaveUp as error:
            self._give_up(error)

    def _give_up(self, error: IngestError) -> None:
        self._notify(f"{error}\nthe other processes continue without it")
        self.stop()
        self.processes = ()


def _answers_ok(host: str, port: int, path: str) -> bool:
    with closing(HTTPConnection(host, port, timeout=READY_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except HTTPException:
            return False


def _log_of(process: Server) -> str:
    return f"the end of its log, {process.log_path}:\n{process.log_tail()}"


def _ending(code: int | None) -> str:
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
