"""One run of `up`: servers, migrations, services, the view, and the way back in the opposite order."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.live import Live

from ops.advice import unanswered
from ops.embedded import PortBusy, Server, ServerFailed
from ops.migrate import migrate
from ops.scrape import Samples, scrape
from ops.up.gauges import Gauges, Meter
from ops.up.instructions import instructions
from ops.up.interruption import Interruption
from ops.up.plan import Plan, Ports, advice
from ops.up.service import Receiver, Simulator, Writer
from ops.up.supervisor import GaveUp, Supervisor
from ops.up.view import line, table
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED

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
        self._directory = directory
        self._stores = Supervisor(plan.stores, self._tell)
        self._flow = Supervisor((self._writer, *plan.brokers, self._receiver), self._tell)
        self._fleet = Supervisor(fleet, self._tell)
        self._meter = Meter()
        self._gauges = Gauges()
        self._interruption = Interruption()
        for part in self._parts:
            part.sleep = self._interruption.sleep

    def __call__(self) -> int:
        """Returns the exit code: 0 after a signal, 2 for a busy port, 1 when a part failed for good."""
        code = 0
        with self._interruption:
            try:
                self._start()
                self._watch()
            except KeyboardInterrupt:
                self._tell("")
            except PortBusy as error:
                code = self._fail(advice(error.name, error.port), EXIT_MISCONFIGURED)
            except (ServerFailed, GaveUp) as error:
                code = self._fail(str(error))
            except FileNotFoundError as error:
                code = self._fail(str(error), EXIT_MISCONFIGURED)
            except (OSError, asyncpg.PostgresError) as error:
                code = self._fail(unanswered("DATABASE_URL", self._plan.database_url, error))
            self._stop()
            if code != EXIT_MISCONFIGURED:
                self._sum_up()
        return code

    def _start(self) -> None:
        for supervisor in self._supervisors:
            supervisor.require_ports()
        self._stores.start()
        applied = self._interruption.run(migrate(self._plan.database_url))
        self._tell(f"database: {len(applied)} migrations applied")
        self._flow.start()
        self._fleet.start()
        self._tell("\n" + instructions(self._plan, self._directory))

    def _watch(self) -> None:
        if not self._console.is_terminal:
            self._log_lines()
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(table(self._read(), self._parts, self._restarts), refresh=True)
                self._look_after()
                self._interruption.sleep(LOOK_EVERY_S)

    def _log_lines(self) -> None:
        told = time.monotonic()
        while True:
            gauges = self._read()
            if time.monotonic() - told >= LINE_EVERY_S:
                told = time.monotonic()
                self._tell(line(gauges))
            self._look_after()
            self._interruption.sleep(LOOK_EVERY_S)

    def _stop(self) -> None:
        """First what publishes, then the broker once its messages are handed over, last what stores."""
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        self._fleet.stop()
        if self._receiver.running:
            self._wait_until_quiet()
        for part in (*self._plan.brokers, self._receiver, self._writer):
            self._flow.stop_part(part)
        self._stores.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _wait_until_quiet(self) -> None:
        """Until nothing more arrives: the broker keeps its messages in memory."""
        deadline, quiet, last = time.monotonic() + QUIET_TIMEOUT_S, 0, -1.0
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            appended = (scrape(self._receiver.url) or Samples()).value("ingest_appended_messages_total")
            quiet = quiet + 1 if appended == last else 0
            last = appended
            time.sleep(QUIET_EVERY_S)

    def _sum_up(self) -> None:
        gauges = self._gauges
        self._tell(
            f"{gauges.received} messages received, {gauges.points} points stored, {gauges.dead_letters} dead letters; "
            f"data and logs are in {self._directory}"
        )

    def _look_after(self) -> None:
        for supervisor in self._supervisors:
            supervisor.look_after()

    def _read(self) -> Gauges:
        receiver, writer = scrape(self._receiver.url), scrape(self._writer.url)
        self._gauges = self._meter.read(time.monotonic(), receiver or Samples(), writer or Samples())
        return self._gauges

    @property
    def _supervisors(self) -> tuple[Supervisor, ...]:
        return self._stores, self._flow, self._fleet

    @property
    def _parts(self) -> list[Server]:
        return [part for supervisor in self._supervisors for part in supervisor.parts]

    @property
    def _restarts(self) -> dict[str, int]:
        return {name: count for each in self._supervisors for name, count in each.restarts.items()}

    def _tell(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _fail(self, text: str, code: int = EXIT_FAILED) -> int:
        self._console.print(text, style="red", soft_wrap=True, markup=False)
        return code
