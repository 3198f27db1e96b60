"""`python -m …` as a process of its own, started by a fork server: the interface of subprocess.Popen, as far as tests
need it, in a twentieth of the time."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


class Program:
    """A process. Its standard streams are files that the caller has opened."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes] | None = None,
        directory: Path | None = None,
        package: str = "traksense_ingest.",
    ) -> None:
        self.returncode: int | None = None
        request = json.dumps(
            {
                "module": package + module,
                "arguments": arguments,
                "environment": dict(environment),
                "directory": str(directory or Path.cwd()),
            }
        )
        self._reports, report = os.pipe()
        with open(os.devnull, "rb") as stdin:
            streams = [stdin.fileno(), stdout.fileno(), (stderr or stdout).fileno(), report]
            _server().send(request, streams)
        os.close(report)
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """The return code; None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """The return code, negative for a signal; raises TimeoutExpired after `timeout` seconds."""
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal to it, unless it has ended."""
        with suppress(ProcessLookupError):  # it has ended, which is not reported yet
            if self.poll() is None:
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._reports], [], [], timeout)[0]:
            self.returncode = int(self._line())
            os.close(self._reports)
        return self.returncode

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._reports, 1)
            assert byte, "the fork server has ended"
            line += byte
        return line


def run(
    module: str, *arguments: str, environment: Mapping[str, str], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, as `subprocess.run(…, capture_output=True, text=True)` does."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        program = Program(module, *arguments, environment=environment, stdout=stdout, stderr=stderr)
        try:
            code = program.wait(timeout)
        finally:
            program.kill()
        return subprocess.CompletedProcess([module, *arguments], code, _text(stdout), _text(stderr))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


class _Server:
    """The fork server of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(self._stop)

    def send(self, request: str, descriptors: list[int]) -> None:
        with self._lock:
            socket.send_fds(self._socket, [request.encode()], descriptors)

    def _stop(self) -> None:
        self._socket.close()
        self._process.wait()


_lock = threading.Lock()
_servers: list[_Server] = []


def _server() -> _Server:
    with _lock:
        if not _servers:
            _servers.append(_Server())
        return _servers[0]
