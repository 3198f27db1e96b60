"""A process that has imported the services, and forks itself for each one that a test starts: an import costs most of a
start. `python -m tests.support.fork_server FD` serves the socket FD until its other end is closed.

A request is a JSON object {module, arguments, environment, directory} with four file descriptors: stdin, stdout, stderr
and where to report. The report is a line with the process's id and, when it has ended, a line with its return code.
Each process leads a group of its own.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PRELOADED = (
    "iotcore",
    "traksense_ingest.ops.cli",
    "traksense_ingest.ops.dlq.cli",
    "traksense_ingest.ops.dlq.export",
    "traksense_ingest.ops.dlq.listing",
    "traksense_ingest.ops.dlq.purge",
    "traksense_ingest.ops.dlq.replay",
    "traksense_ingest.ops.dlq.show",
    "traksense_ingest.ops.imports.run",
    "traksense_ingest.ops.schema.command",
    "traksense_ingest.ops.simulate.run",
    "traksense_ingest.ops.status.command",
    "traksense_ingest.ops.validate.run",
    "traksense_ingest.receiver.service",
    "traksense_ingest.writer.service",
)
REQUEST_BYTES = 200_000
DESCRIPTORS = 4


@dataclass(frozen=True)
class Request:
    """What is to be run: `python -m module arguments…`."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str


class ForkServer:
    """Forks a child for each request, and reports how it ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._children: dict[int, tuple[int, int]] = {}  # pidfd: process id, where to report

    def serve(self) -> Request | None:
        """In a child: what it is to run. In the server: None, when nobody is left who could ask."""
        while True:
            for key, _ in self._selector.select():
                if key.fd != self._requests.fileno():
                    self._report_end(key.fd)
                    continue
                body, descriptors, _, _ = socket.recv_fds(self._requests, REQUEST_BYTES, DESCRIPTORS)
                if not body:
                    self._kill_children()
                    return None
                request = Request(**json.loads(body))
                if self._fork(descriptors):
                    return request

    def _fork(self, descriptors: list[int]) -> bool:
        """Whether this is the child."""
        *streams, report = descriptors
        if pid := os.fork():
            os.setpgid(pid, pid)
            for descriptor in streams:
                os.close(descriptor)
            os.write(report, b"%d\n" % pid)
            pidfd = os.pidfd_open(pid)
            self._children[pidfd] = pid, report
            self._selector.register(pidfd, selectors.EVENT_READ)
            return False
        self._become_child(streams, report)
        return True

    def _become_child(self, streams: list[int], report: int) -> None:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        others = [other for pidfd, (_, other) in self._children.items() for other in (pidfd, other)]
        for descriptor in (*streams, report, *others):
            os.close(descriptor)
        self._selector.close()
        self._requests.close()

    def _report_end(self, pidfd: int) -> None:
        pid, report = self._children.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):
            os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
        self._selector.unregister(pidfd)
        os.close(pidfd)
        os.close(report)

    def _kill_children(self) -> None:
        for pid, _ in self._children.values():
            os.killpg(pid, signal.SIGKILL)


def become(request: Request) -> None:
    """Arguments, environment, directory and standard streams as after an exec."""
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.directory)
    sys.argv = [request.module, *request.arguments]
    sys.stdin = _stream(0, "r")
    sys.stdout = _stream(1, "w", is_line_buffered=os.isatty(1))
    sys.stderr = _stream(2, "w", is_line_buffered=True, errors="backslashreplace")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def _stream(number: int, mode: str, *, is_line_buffered: bool = False, errors: str = "surrogateescape") -> Any:
    raw: Any = open(number, mode + "b", closefd=False)  # noqa: SIM115 - for as long as the process
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=is_line_buffered)


def main() -> None:
    """Serve; then be what was asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who runs the tests
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    request = ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is None:
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    become(request)
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
