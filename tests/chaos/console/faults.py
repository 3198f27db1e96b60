"""The console's own fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.console import replay
from tests.chaos.fault import Fault
from tests.chaos.pipeline import Pipeline

AT_LEAST = 100  # dead letters are left when it is killed


@asynccontextmanager
async def killed_in_a_replay(pipeline: Pipeline) -> AsyncIterator[None]:
    """Its sessions are gone, and a replay that ran is interrupted and goes on with what is left."""
    visitor = pipeline.visitor
    assert visitor is not None
    connection = await pipeline.database()
    with visitor.noting("a replay"):
        await replay.keep_running(visitor, connection, AT_LEAST)
    cookies = dict(visitor.console.browser.cookies)
    await visitor.console.kill()
    yield
    with visitor.noting("after kill -9 in a replay"):
        await visitor.console.start()
        await replay.is_interrupted(visitor, connection, cookies)
    await connection.close()


KILLED = Fault("console: kill -9", killed_in_a_replay, of_console=True)
