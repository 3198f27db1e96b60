"""`status` once or repeatedly: redrawn on a terminal, a block each time in a pipe, or a JSON object on each line."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from traksense_ingest.ops.output import Output
from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.screen import plain, screen
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.runtime.service import EXIT_OK, unless_stopped

OUTPUT: Output[Status] = Output(Status.as_json, plain, screen)


def show_status(
    settings: Settings,
    period_s: float | None,
    sample_s: float,
    patience_s: float,
    skipped: Collection[str],
    *,
    as_json: bool,
) -> int:
    """Once, or with a period until Ctrl-C; returns the exit code."""
    if period_s is None:
        return run_with_daemon_threads(_show_once(settings, sample_s, patience_s, skipped, as_json=as_json))
    return run_with_daemon_threads(_show_always(settings, period_s, patience_s, skipped, as_json=as_json))


def run_with_daemon_threads(work: Coroutine[Any, Any, int]) -> int:
    """As asyncio.run, but threads that are still busy do not delay the end."""

    async def run() -> int:
        asyncio.get_running_loop().set_default_executor(DaemonThreadExecutor())
        return await work

    return asyncio.run(run())


class DaemonThreadExecutor(ThreadPoolExecutor):
    """A daemon thread for each call, which ends with the program. asyncio accepts no executor of another class.

    A name server that does not answer blocks the thread that asks it for ten seconds and more, and nothing can cancel
    the call. asyncio, and then the interpreter, would wait for the thread at the end, long after the status is shown.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `submit` of any executor."""
        future: Future[Any] = Future()
        threading.Thread(target=_call, args=(future, function, args, kwargs), daemon=True).start()
        return future


def _call(future: Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)


async def _show_once(
    settings: Settings, sample_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    async with StatusCollector(settings, patience_s, skipped) as collector:
        status = await collector.collect(sample_s)
        OUTPUT.once(status, as_json=as_json)
        await collector.record()
        return status.exit_code


async def _show_always(
    settings: Settings, period_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    """Until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with StatusCollector(settings, patience_s, skipped) as collector:
        with OUTPUT.again_and_again(as_json=as_json) as show:
            while not stop.is_set():
                if status := await unless_stopped(stop, collector.collect(min(period_s, 1.0))):
                    show(status)
                    await unless_stopped(stop, collector.record())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), period_s)
    return EXIT_OK
