"""A function in a process of its own, which ends with its answer, or at a limit.

A mapping may run forever, or use all memory: with a codec in JavaScript, or a number of a million digits. A thread
can't be killed; a process can. It is forked from a server that has imported everything, and that has no threads, no
connections and no passwords: not even in its environment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from traksense_ingest.ops.mapping.playground.confinement import Limits, clean_environment, confine
from traksense_ingest.ops.terminal import duration
from traksense_ingest.shared.errors import IngestError

ANSWER_MAX = 16 * 1024 * 1024  # bytes
AT_ONCE = 2
PRELOADED = ["traksense_ingest.ops.mapping.playground.answer"]

log = logging.getLogger(__name__)


class Stopped(IngestError):
    """It has reached a limit, or failed; the text says which."""


class LimitedProcesses:
    """Runs functions of modules with arguments that can be pickled, two at once; what they return is JSON."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (it can't be changed)
        self._limits = limits
        self._context = multiprocessing.get_context("forkserver")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._lock = threading.Lock()  # for what follows: each process belongs to a thread
        self._processes: set[ForkServerProcess] = set()
        self._has_ended = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as the block: no process outlives it, nor a thread that waits for one."""
        _ensure_server(self._context)
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End all of them, and start no more."""
        with self._lock:
            self._has_ended = True
            for process in self._processes:
                process.kill()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What it returns. Raises Stopped at a limit, and IngestError where the function does."""
        async with self._turns:
            _ensure_server(self._context)
            found = await asyncio.to_thread(self._run, function, arguments)
        if "error" in found:
            raise IngestError(found["error"])
        if "stopped" in found:
            raise Stopped(f"it was stopped: {found['stopped']}")
        if "bug" in found:
            log.error("a trial of a mapping failed because of a bug: %s", found["bug"])
            raise Stopped("it failed because of a bug; the console's log has the details")
        return found["value"]

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
        with (
            _started(self._context, function, arguments, self._limits) as (process, answer),
            self._known(process),
        ):
            if not answer.poll(self._limits.longest_s):
                return {"stopped": f"it ran for more than {duration(self._limits.longest_s)}"}
            try:
                found: dict[str, Any] = json.loads(answer.recv_bytes(ANSWER_MAX))
            except EOFError:
                process.join(self._limits.longest_s)
                return self._ended_with(process.exitcode)
            except OSError:
                return {"stopped": f"its answer has more than {ANSWER_MAX // 1024**2} MiB"}
            return found

    @contextmanager
    def _known(self, process: ForkServerProcess) -> Iterator[None]:
        with self._lock:
            self._processes.add(process)
            if self._has_ended:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._processes.remove(process)

    def _ended_with(self, code: int | None) -> dict[str, Any]:
        """Without an answer."""
        if self._has_ended:
            return {"stopped": "the console ends"}
        if code == -signal.SIGXCPU:
            return {"stopped": f"it needed more than {self._limits.cpu_s} s of processor time"}
        if code == -signal.SIGKILL:
            return {"stopped": "it was killed, perhaps because there was no memory left"}
        return {"bug": f"its process ended with {code}"}


def _ensure_server(context: ForkServerContext) -> None:
    """Start the fork server, unless it runs. In the thread of the event loop: while it starts, the environment lacks
    what connections to the database may need."""
    pid: int | None = vars(forkserver)["_forkserver"]._forkserver_pid  # noqa: SLF001  (no other way to know)
    if pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return
    context.set_forkserver_preload(PRELOADED)
    with clean_environment():
        forkserver.ensure_running()


@contextmanager
def _started(
    context: ForkServerContext, function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A process, and the end of a pipe where its answer comes; it is killed at the end of the block."""
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answered, args=(theirs, function, arguments, limits), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, answer
    finally:
        process.kill()
        process.join()
        process.close()
        answer.close()


def _answered(answer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> None:
    """In the new process."""
    confine(limits, answer.fileno())
    try:
        found = {"value": function(*arguments)}
    except IngestError as error:
        found = {"error": str(error)}
    except MemoryError:
        found = {"stopped": f"it needed more than {limits.memory // 1024**2} MiB of memory"}
    except Exception:
        found = {"bug": traceback.format_exc()}
    answer.send_bytes(json.dumps(found).encode())
