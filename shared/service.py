"""What both services' `__main__` share: exit codes, signals, the one way to shut down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from shared import config, log
from shared.config import ConfigError, Settings
from shared.failure import Kind, describe, kind_of
from shared.health import Health, MetricsPortError
from shared.outage import Misconfigured
from shared.tasks import raise_sole_error

EXIT_OK, EXIT_FAILED, EXIT_MISCONFIGURED = 0, 1, 2
GRACE_S = 5.0  # how long the work in hand may take after SIGTERM; docker and Kubernetes kill after 10 and 30 s

T = TypeVar("T")
Service = Callable[[Settings, asyncio.Event], Awaitable[None]]

logger = logging.getLogger(__name__)


def run(service: Service) -> int:
    """Run a service until SIGTERM or SIGINT; returns the exit code.

    0 after a signal; 2, with one line on stderr, when the configuration can't work; 1 after a crash.
    """
    log_format = "text"
    try:
        settings = config.load()
        log_format = settings.log_format
        log.configure(settings.log_level, log_format)
        for name in config.misspelt():
            logger.warning("ignoring the variable %s", name)
        asyncio.run(_until_signalled(service, settings))
    except (ConfigError, Misconfigured, MetricsPortError) as error:
        if log_format == "json":
            logger.critical("%s", error)
        else:
            print(error, file=sys.stderr)
        return EXIT_MISCONFIGURED
    except Exception:
        logger.exception("stopped by a bug")
        return EXIT_FAILED
    return EXIT_OK


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
    """An error that reached nobody. A lost connection has told whoever used it already: no more than a line of it."""
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
    """Run both; after `stop`, the work has GRACE_S to finish what it holds, then everything is cancelled.

    `abort` is called just before, to cut what a cancelled task would politely wait for. An error of either ends both
    and is raised.
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
async def turning(health: Health) -> AsyncIterator[None]:
    """The event loop's sign of life, for /healthz. First contact may take as long as an outage, so it begins before."""
    task = asyncio.create_task(_keep_turning(health), name="turning")
    try:
        yield
    finally:
        task.cancel()


async def _keep_turning(health: Health) -> None:
    while True:
        health.turn()
        await asyncio.sleep(1)
