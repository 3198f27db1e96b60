"""Brokers that are none of the session's services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.aedes import Aedes
from tests.support.services import Services
from tests.support.stack import Stack
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.embedded.debian import Mosquitto

needs_aedes = pytest.mark.skipif(
    not Aedes.installed(), reason="not installed here: aedes (npm install --prefix tests/support/node)"
)
needs_mosquitto = pytest.mark.skipif(not Mosquitto.installed(), reason="not installed here: mosquitto")


class Configured(Mosquitto):
    """A Mosquitto with another line in its configuration."""

    line = ""

    def _prepare(self) -> None:
        super()._prepare()
        self._config_path.write_text(f"{self._config_path.read_text()}\n{self.line}\n")


@asynccontextmanager
async def stack_on(broker: Server, services: Services, database: str, directory: Path) -> AsyncIterator[Stack]:
    with broker, services.redis(directory) as redis:
        stack = Stack(broker, redis, database, directory)
        try:
            yield stack
        finally:
            await stack.close()
