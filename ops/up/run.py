"""One run of `up`: servers, migrations, services, the view, and then the stop in the opposite order."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from traksense_ingest.ops.advice import explain_with_url, port_advice
from traksense_ingest.ops.embedded import PortBusy, Server
from traksense_ingest.ops.schema.catalogue import EarlierPoints
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.ops.scrape import Samples, scrape
from traksense_ingest.ops.up.interruption import Interruption
from traksense_ingest.ops.up.plan import Plan, Ports
from traksense_ingest.ops.up.processes import ConsolePages, Optional, Receiver, Simulator, Supervisor, Writer
from traksense_ingest.ops.up.view import Gauges, Meter, instructions, line, table
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.failure import DATABASE_ERRORS, Unusable, describe

CHECK_EVERY_S = 1.0
LINE_EVERY_S = 5.0
QUIET_CHECKS, QUIET_EVERY_S, QUIET_TIMEOUT_S = 3, 0.1, 5.0


class Run:
    """Starts everything and shows it until Ctrl-C or SIGTERM, or until a process keeps crashing."""

    def __init__(
        self,
        plan: Plan,
        ports: Ports,
        directory: Path,
        simulate: list[str] | None,
        notes: Sequence[str] = (),
        *,
        has_console: bool = False,
    ) -> None:
        """`simulate` are the options of a fleet, None for none; `notes` are printed before anything starts."""
        self._plan = plan
        self._ports = ports
        self._notes = notes
        self._console = Console(highlight=False)
        self._receiver = Receiver(directory, ports.receiver_metrics, plan.environment)
        self._writers = [
            Writer(directory, port, plan.environment, number if ports.writers > 1 else None)
            for number, port in enumerate(ports.all_writer_metrics, 1)
        ]
        fleet = [Simulator(directory, simulate, plan.environment)] if simulate is not None else []
        pages = [ConsolePages(directory, ports.console, plan.environment)] if has_console else []
        for process in (self._receiver, *self._writers, *fleet, *pages):
            process.working_directory = Path.cwd()  # relative paths in variables, and .env, are the operator's
        self._directory = directory
        self._stores = Supervisor(plan.stores, self._print)
        self._services = Supervisor((*self._writers, *plan.brokers, self._receiver), self._print)
        self._fleet = Supervisor(fleet, self._print)
        self._pages = Optional(pages, self._print)
        self._shown_link = ""
        self._meter = Meter()
        self._gauges = Gauges()
        self._interruption = Interruption()
        for process in self._processes:
            process.sleep = self._interruption.sleep

    def __call__(self) -> None:
        """Until a signal. Raises IngestError if a process failed for good, once all others are stopped."""
        ended: IngestError | None = None
        with self._interruption:
            try:
                self._start()
                self._watch()
            except KeyboardInterrupt:
                self._print("")
            except PortBusy as busy:
                ended = ConfigurationError(port_advice(busy.name, busy.port))
            except IngestError as error:
                ended = error
            except OSError as error:
                ended = IngestError(describe(error))
            self._stop()
        if not isinstance(ended, ConfigurationError):
            self._print_totals()
        if ended:
            raise ended

    def _start(self) -> None:
        for supervisor in self._supervisors:
            supervisor.require_ports()
        for note in self._notes:
            self._print(note)
        self._start_stores()
        self._migrate()
        self._services.start()
        self._fleet.start()
        self._pages.start()
        self._print("\n" + instructions(self._plan, self._ports, self._directory))

    def _start_stores(self) -> None:
        cluster = self._plan.cluster
        if cluster:
            cluster.prepare()
        self._stores.start()
        if cluster:
            self._print("waiting for the nodes of the Redis Cluster …")
            cluster.form(self._interruption.sleep)

    def _migrate(self) -> None:
        variable = self._plan.migrate_variable
        url = self._plan.environment[variable]
        try:
            applied = self._interruption.run(migrate(url))
            self._interruption.run(EarlierPoints(url).run())
        except (*DATABASE_ERRORS, OSError, Unusable) as error:
            raise IngestError(explain_with_url(variable, url, error)) from error
        self._print(f"database: {len(applied)} migrations applied")

    def _watch(self) -> None:
        if not self._console.is_terminal:
            self._log_lines()
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(table(self._read(), self._processes, self._restarts, self._link), refresh=True)
                self._restart_crashed()
                self._interruption.sleep(CHECK_EVERY_S)

    def _log_lines(self) -> None:
        printed_at = time.monotonic()
        while True:
            self._print_link()
            gauges = self._read()
            if time.monotonic() - printed_at >= LINE_EVERY_S:
                printed_at = time.monotonic()
                self._print(line(gauges))
            self._restart_crashed()
            self._interruption.sleep(CHECK_EVERY_S)

    @property
    def _link(self) -> str:
        """The newest link to the console, if it runs."""
        return next((process.url for process in self._pages.processes if process.running), "")

    def _print_link(self) -> None:
        """If it is new: each link can be used once."""
        link = self._link
        if link and link != self._shown_link:
            self._shown_link = link
            self._print(f"console   {link}")

    def _stop(self) -> None:
        """First the publishers, then the broker once its messages are delivered, last the stores."""
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        self._pages.stop()
        self._fleet.stop()
        if self._receiver.running:
            self._wait_until_quiet()
        for process in (*self._plan.brokers, self._receiver, *self._writers):
            self._services.stop_process(process)
        self._stores.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _wait_until_quiet(self) -> None:
        """Until nothing more arrives: the broker keeps its messages in memory."""
        deadline, quiet, last = time.monotonic() + QUIET_TIMEOUT_S, 0, -1.0
        while quiet < QUIET_CHECKS and time.monotonic() < deadline:
            appended = (scrape(self._receiver.url) or Samples()).value("ingest_appended_messages_total")
            quiet = quiet + 1 if appended == last else 0
            last = appended
            time.sleep(QUIET_EVERY_S)

    def _print_totals(self) -> None:
        gauges = self._gauges
        self._print(
            f"{gauges.received} messages received, {gauges.points} points stored, {gauges.dead_letters} dead letters; "
            f"data and logs are in {self._directory}"
        )

    def _restart_crashed(self) -> None:
        for supervisor in self._supervisors:
            supervisor.restart_crashed()

    def _read(self) -> Gauges:
        receiver, *writers = (scrape(each.url) or Samples() for each in (self._receiver, *self._writers))
        self._gauges = self._meter.read(time.monotonic(), receiver, *writers)
        return self._gauges

    @property
    def _supervisors(self) -> tuple[Supervisor, ...]:
        return self._stores, self._services, self._fleet, self._pages

    @property
    def _processes(self) -> list[Server]:
        return [process for supervisor in self._supervisors for process in supervisor.processes]

    @property
    def _restarts(self) -> dict[str, int]:
        return {name: count for each in self._supervisors for name, count in each.restarts.items()}

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock the directory for as long as the block, and make it first: two servers on the same files would corrupt them.

    Raises click.UsageError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise click.UsageError(f"--directory {directory}: {error.strerror}; choose another") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.UsageError(
                f"--directory {directory}: another `up` runs there: stop it, or choose another"
            ) from None
        yield
