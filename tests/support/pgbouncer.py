"""Debian's pgbouncer in front of a PostgreSQL of the tests, with its own defaults but for what a test gives."""

import os
import shutil
import signal
import struct
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from traksense_ingest.ops.embedded.debian import find
from traksense_ingest.ops.embedded.packages import let_through, unprivileged
from traksense_ingest.ops.embedded.ports import ask
from traksense_ingest.ops.embedded.server import Server

_CONFIG = """\
[databases]
{databases}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
"""


class Pgbouncer(Server):
    """One on loopback for the databases of one server; whoever connects is the role that the server's URL names.

    `settings` are added to the configuration, which has nothing else but where to listen and whom to let in.
    """

    name: ClassVar[str] = "pgbouncer"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM  # at once, as a restart of the service does

    def __init__(self, directory: Path, port: int, database_url: str, settings: dict[str, str]) -> None:
        super().__init__(directory, port)
        self._target = urlsplit(database_url)
        self.settings = settings

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return find("pgbouncer") is not None

    @property
    def url(self) -> str:
        """The database of `database_url`, through the pooler."""
        return f"postgresql://{self._target.username}@{self.host}:{self.port}{self._target.path}?sslmode=disable"

    def reload(self, **settings: str) -> None:
        """Other settings, from now on."""
        self.settings |= settings
        self._write()
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)

    @property
    def _config_path(self) -> Path:
        return self.directory / "pgbouncer.ini"

    def _uid_gid(self) -> tuple[int, int] | None:
        return unprivileged(self.directory)  # it refuses to run as root

    def _prepare(self) -> None:
        self._write()
        if ids := self._uid_gid():
            let_through(self._config_path)
            os.chown(self.directory, *ids)

    def _write(self) -> None:
        target = self._target
        database = f"* = host={target.hostname} port={target.port} user={target.username}"
        if target.password:
            database += f" password={target.password}"
        settings = "".join(f"{name} = {value}\n" for name, value in self.settings.items())
        self._config_path.write_text(_CONFIG.format(databases=database, host=self.host, port=self.port) + settings)

    def _command(self) -> list[str]:
        program = shutil.which("pgbouncer", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
        assert program is not None
        return [program, str(self._config_path)]

    def _answers(self) -> bool:
        # R of its own console's: it does not need the server behind it for that.
        parameters = b"user\0pgbouncer\0database\0pgbouncer\0\0"
        return ask(self.port, struct.pack("!II", 8 + len(parameters), 3 << 16) + parameters, b"X\0\0\0\4")[:1] in b"RE"
