"""One run of `up`: servers, migrations, services, the view, and the way back in the opposite order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import asyncpg
from rich.console import Console
from rich.live import Live

from ops.embedded import PortBusy, Server, ServerFailed
from ops.migrate import migrate
from ops.scrape import Samples, scrape
from ops.up.gauges import Gauges, Meter
from ops.up.instructions import instructions
from ops.up.plan import Plan, Ports, advice
from ops.up.service import Receiver, Simulator, Writer
from ops.up.supervisor import GaveUp, Supervisor
from ops.up.view import line, table
from shared.config import redacted
from shared.failure import describe

LOOK_EVERY_S = 1.0
LINE_EVERY_S = 5.0
QUIET_LOOKS, QUIET_EVERY_S, QUIET_TIMEOUT_S = 3, 0.1, 5.0


class Run:
    """Starts everything and shows it until Ctrl-C or SIGTERM, or until a part is beyond help."""

    def __init__(self, plan: Plan, ports: Ports, directory: Path, simulate: list[str] | None) -> None:
        self._plan = plan
        self._console = Console(highlight=False)
        self._receiver = Receiver(directory, ports.receiver_metrics, plan.environment)
        self._writer = Writer(directory, ports.writer_metrics, plan.environment)
        fleet = [Simulator(directory, simulate, plan.environment)] if simulate is not None else []
        self._servers = Supervisor(plan.servers, self._tell)
        self._services = Supervisor((self._writer, self._receiver), self._tell)
        self._fleet = Supervisor(fleet, self._tell)
        self._meter = Meter()

    def __call__(self) -> int:
        """Returns the exit code: 0 after a signal, 1 when a part failed for good."""
        code = 0
        with _interrupted_by_sigterm():
            try:
                self._start()
                self._watch()
            except KeyboardInterrupt:
                self._tell("")
            except PortBusy as error:
                code = self._fail(advice(error.name, error.port))
            except (ServerFailed, GaveUp) as error:
                code = self._fail(str(error))
            except (OSError, asyncpg.PostgresError) as error:
                code = self._fail(f"{redacted(self._plan.database_url)}: {describe(error)}")
            self._stop()
        return code

    def _start(self) -> None:
        self._servers.start()
        applied = asyncio.run(migrate(self._plan.database_url))
        self._tell(f"database: {len(applied)} migrations applied")
        self._services.start()
        self._fleet.start()
        self._tell("\n" + instructions(self._plan))

    def _watch(self) -> None:
        if not self._console.is_terminal:
            self._log_lines()
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(table(self._read(), self._parts, self._restarts), refresh=True)
                self._look_after()
                time.sleep(LOOK_EVERY_S)

    def _log_lines(self) -> None:
        told = time.monotonic()
        while True:
            gauges = self._read()
            if time.monotonic() - told >= LINE_EVERY_S:
                told = time.monotonic()
                self._tell(line(gauges))
            self._look_after()
            time.sleep(LOOK_EVERY_S)

    def _stop(self) -> None:
        """First what publishes, then what receives once nothing more arrives, last what stores."""
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        self._fleet.stop()
        if self._receiver.running:
            self._wait_until_quiet()
        self._services.stop()
        self._servers.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _wait_until_quiet(self) -> None:
        """Until the broker, which keeps its messages in memory, has handed over what it has."""
        deadline, quiet, last = time.monotonic() + QUIET_TIMEOUT_S, 0, -1.0
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            appended = (scrape(self._receiver.url) or Samples()).value("ingest_appended_messages_total")
            quiet = quiet + 1 if appended == last else 0
            last = appended
            time.sleep(QUIET_EVERY_S)

    def _look_after(self) -> None:
        for supervisor in (self._servers, self._services, self._fleet):
            supervisor.look_after()

    def _read(self) -> Gauges:
        receiver, writer = scrape(self._receiver.url), scrape(self._writer.url)
        return self._meter.read(time.monotonic(), receiver or Samples(), writer or Samples())

    @property
    def _parts(self) -> list[Server]:
        return [*self._servers.parts, *self._services.parts, *self._fleet.parts]

    @property
    def _restarts(self) -> dict[str, int]:
        return {**self._servers.restarts, **self._services.restarts, **self._fleet.restarts}

    def _tell(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _fail(self, text: str) -> int:
        self._console.print(text, style="red", soft_wrap=True, markup=False)
        return 1


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
