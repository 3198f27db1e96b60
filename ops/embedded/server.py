"""One real server as one child process: start it, wait until it answers, stop it, kill it.

It does not outlive the process that started it, even when that one is killed with -9.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar, Protocol, Self

from traksense_ingest.ops.embedded.ports import LOOPBACK, free_port, port_is_free
from traksense_ingest.shared.errors import ConfigurationError, IngestError

__all__ = ["Server", "free_port"]
_LOG_LINES = 20
_PR_SET_PDEATHSIG = 1
# Loaded here, in the parent: between fork and exec as little as possible should happen.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Process(Protocol):
    """What a server needs of subprocess.Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...


class PortBusy(ConfigurationError):
    """A server's port is taken by another program."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(f"{name}: port {port} of {LOOPBACK} is taken by another program")
        self.name, self.port = name, port


class ServerFailed(IngestError):
    """A server exited, or did not answer in time; `log` holds the last lines it wrote."""

    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not start; the end of its log:\n{log}")
        self.name, self.log = name, log


class Server(ABC):
    """A server bound to 127.0.0.1, run as a direct child so that a crash shows in `running`.

    Its data and its log (`<label>.log`) live in `directory` and survive `stop` and `kill`.
    Start it from a thread that outlives it: Linux ties the child's life to the thread that made it.
    """

    name: ClassVar[str]
    host: ClassVar[str] = LOOPBACK
    start_timeout: float = 30.0  # seconds, crash recovery included
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    orphan_signal: ClassVar[signal.Signals] = signal.SIGKILL  # what the child gets when its parent dies

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.working_directory = self.directory  # the child's
        self.port = port
        self.label = self.name  # tells several of the same kind apart
        self.sleep: Callable[[float], None] = time.sleep  # between two checks that it answers; may raise
        self._process: Process | None = None
        self._log_start = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """The address clients connect to."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves a client right now. May raise OSError for no."""

    def _prepare(self) -> None:  # noqa: B027 - most servers create their files themselves
        """Create what the server needs and does not have yet."""

    def _ports(self) -> list[int]:
        return [self.port]

    def _environment(self) -> Mapping[str, str] | None:
        """The environment of the child, or None for our own."""
        return None

    def _uid_gid(self) -> tuple[int, int] | None:
        """The user to run as, or None for the user we are."""
        return None

    def start(self) -> Self:
        """Start the server and wait until it answers; does nothing when it runs already.

        Raises PortBusy, or ServerFailed when it exits or does not answer within `start_timeout` seconds.
        """
        if self.running:
            return self
        self.require_ports()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._prepare()
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = self._launch(log)
        self._wait_until_it_answers()
        return self

    def require_ports(self) -> None:
        """Raise PortBusy when another program has a port that this one needs."""
        if not self.running and (busy := [port for port in self._ports() if not port_is_free(port)]):
            raise PortBusy(self.name, busy[0])

    def stop(self, timeout: float = 10.0) -> None:
        """Ask the server to finish its work and exit; kill it after `timeout` seconds."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash would, with every process it started."""
        if self._process is None or not self.running:
            return
        os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session, hence a group, of its own
        self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def serves(self) -> bool:
        """Whether it answers a client now, not only exists."""
        with suppress(OSError):  # nothing listens yet, or it closed the connection
            return self.running and self._answers()
        return False

    @property
    def pid(self) -> int | None:
        """The id of the last process started, dead or alive."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """How the process ended (negative: by that signal); None while it runs or before it ran."""
        return self._process.poll() if self._process else None

    @property
    def log_path(self) -> Path:
        """The file that holds the output of every run."""
        return self.directory / f"{self.label}.log"

    def log_tail(self) -> str:
        """The last lines that this run wrote."""
        written = self.log_path.read_bytes()[self._log_start :] if self.log_path.exists() else b""
        return "\n".join(written.decode(errors="replace").splitlines()[-_LOG_LINES:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, log: IO[bytes]) -> Process:
        """The server as a child that leads a process group of its own."""
        uid, gid = self._uid_gid() or (None, None)
        return subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.working_directory,
            env=self._environment(),
            start_new_session=True,  # Ctrl-C in the terminal is for the parent to handle
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            preexec_fn=die_with_parent(self.orphan_signal),  # noqa: PLW1509 - one system call
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        while self.running and time.monotonic() < deadline:
            if self.serves():
                return
            self.sleep(0.02)
        self.kill()
        raise ServerFailed(self.label, self.log_tail())


def die_with_parent(death: signal.Signals) -> Callable[[], None]:
    """What a child runs just before exec so that the kernel sends it `death` when its parent ends.

    Outside Linux it does nothing. The order given to the kernel survives exec, but no later change of user.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before the order was given
            os._exit(1)

    return before_exec
