"""Which servers the integration tests run on, and work on a server that belongs to no test's database."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import IO

import asyncpg

from tests.support.program import Program
from traksense_ingest.ops.embedded import Broker, Server, debian
from traksense_ingest.ops.embedded.debian import DEBIAN, Services, missing

__all__ = ["DEBIAN", "EMBEDDED", "Services", "administer", "database_url", "missing"]


class ForkedBroker(Broker):
    """The embedded broker, without the start of Python and of its imports: most of what a start costs."""

    def _launch(self, log: IO[bytes]) -> Program:
        _, _, module, *arguments = self._command()
        return Program(module, *arguments, package="", environment=os.environ, stdout=log, directory=self.directory)


EMBEDDED = replace(debian.EMBEDDED, broker_type=ForkedBroker)


def database_url(server: Server, name: str) -> str:
    """The URL of another database of the same server."""
    return f"{server.url.rpartition('/')[0]}/{name}"


async def administer(server: Server, *statements: str) -> None:
    """Run statements that belong to no test's database."""
    connection = await asyncpg.connect(database_url(server, "postgres"))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
