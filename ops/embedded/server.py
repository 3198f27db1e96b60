"""One real server as one child process: start it, wait until it answers, stop it, kill it."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from ops.embedded.errors import PortBusy, ServerFailed
from ops.embedded.orphans import die_with_parent
from ops.embedded.ports import LOOPBACK, free_port, port_is_free

__all__ = ["Server", "free_port"]
_LOG_LINES_TOLD = 20


class Server(ABC):
    """A server bound to 127.0.0.1, run as a direct child so that a crash shows in `running`.

    Its data and its log (`<name>.log`) live in `directory` and survive `stop` and `kill`.
    Start it from a thread that outlives it: Linux ties the child's life to the thread that made it.
    """

    name: ClassVar[str]
    host: ClassVar[str] = LOOPBACK
    start_timeout: ClassVar[float] = 30.0  # seconds, crash recovery included
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    orphan_signal: ClassVar[signal.Signals] = signal.SIGKILL  # what the child gets when its parent dies

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.port = port
        self.sleep: Callable[[float], None] = time.sleep  # between two looks whether it answers; may raise to end that
        self._process: subprocess.Popen[bytes] | None = None
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
        self._spawn()
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
        with suppress(OSError):  # nobody listens yet, or it hung up on us half-way
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
        return self.directory / f"{self.name}.log"

    def log_tail(self) -> str:
        """The last lines that this run wrote."""
        written = self.log_path.read_bytes()[self._log_start :] if self.log_path.exists() else b""
        return "\n".join(written.decode(errors="replace").splitlines()[-_LOG_LINES_TOLD:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        uid, gid = self._uid_gid() or (None, None)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
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
        raise ServerFailed(self.name, self.log_tail())
