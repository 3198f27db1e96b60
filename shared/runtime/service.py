"""What both services' `__main__` share: exit codes, signals, the one way to shut down."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.failure import Kind, describe, kind_of
from traksense_ingest.shared.runtime import log
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.tasks import in_background, raise_sole_error

EXIT_OK, EXIT_FAILED, EXIT_MISCONFIGURED = 0, IngestError.exit_code, ConfigurationError.exit_code
GRACE_S = 5.0  # how long the work in hand may take after SIGTERM; docker and Kubernetes kill after 10 and 30 s

T = TypeVar("T")
Service = Callable[[Settings, asyncio.Event], Awaitable[None]]

logger = logging.getLogger(__name__)


def run(service: Service) -> int:
    """Run a service until SIGTERM or SIGINT; returns the exit code.

    0 after a signal; 2, with one line on stderr, when the configuration can't work; 1 after a crash.
    """
    try:
        settings = config.load()
        log.configure(settings.log_level, settings.log_format)
        for name in config.unknown_variables():
            logger.warning("ignoring the variable %s", name, extra={"variable": name.partition(" ")[0]})
        asyncio.run(_until_signalled(service, settings))
    except IngestError as error:
        say_why(error)
        return error.exit_code
    except Exception:
        logger.exception("stopped by a bug")
        return EXIT_FAILED
    return EXIT_OK


def say_why(error: object) -> None:
    """Why this process ends, on stderr: as text the lines alone, under LOG_FORMAT=json an object for each."""
    if config.log_format() == "text":
        print(error, file=sys.stderr)
        return
    log.configure("INFO", "json")
    for line in str(error).splitlines():
        logger.critical("%s", line)


class NoArguments(argparse.ArgumentParser):
    """The command line of a service: `--help` alone, since variables configure it."""

    def __init__(self, service: str, about: str) -> None:
        about = f"{about} It takes no arguments; variables, or a .env file, configure it."
        super().__init__(prog=f"python -m {service}", description=about)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the command line, and exit with 2."""
        if config.log_format() == "text":
            super().error(message)
        say_why(f"{self.prog}: {message}")
        sys.exit(EXIT_MISCONFIGURED)


async def _until_signalled(service: Service, settings: Settings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(_on_stray_error)
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    try:
        await service(settings, stop)
    except BaseExceptionGroup as group:
        raise_sole_error(group)
    logger.info("stopped")


def _on_stray_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that no task has awaited. Whoever used a lost connection knows of it already: that is a debug line."""
    error = context.get("exception")
    if isinstance(error, BaseException) and kind_of(error) is Kind.OUTAGE:
        logger.debug("%s: %s", context.get("message"), describe(error))
    else:
        loop.default_exception_handler(context)


async def run_until(
    stop: asyncio.Event,
    work: Coroutine[Any, Any, None],
    background: Coroutine[Any, Any, None],
    abort: Callable[[], None] = lambda: None,
) -> None:
    """Run both; after `stop`, the work has GRACE_S to finish what it has in hand, then everything is cancelled.

    `abort` is called just before, to cut connections that a cancelled task would wait for. (`asyncio.timeout` would
    cancel the work first, and its TimeoutError could be one of the work's.) An error of either ends both and is raised.
    """
    async with asyncio.TaskGroup() as tasks:
        aside = tasks.create_task(background, name="background")
        working = tasks.create_task(work, name="work")
        stopping = tasks.create_task(stop.wait(), name="stop")
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.wait((working,), timeout=GRACE_S)
        if not working.done():
            abort()
        for task in (working, stopping, aside):
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def unless_stopped(stop: asyncio.Event, waiting: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine returns, or None when `stop` comes first. Raises what it raises."""
    task = asyncio.create_task(waiting)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


@contextlib.asynccontextmanager
async def event_loop_heartbeat(health: Health) -> AsyncIterator[None]:
    """Keeps /healthz up to date. To be started first: what a service connects to may be unreachable for a long time."""
    async with in_background(_beat(health), "event loop heartbeat"):
        yield


async def _beat(health: Health) -> None:
    while True:
        health.beat()
        await asyncio.sleep(1)
