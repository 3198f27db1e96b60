"""Exports that a browser downloads: how many dead letters each has sent is recorded, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from traksense_ingest.ops.console.actions.table import DONE, beating, end
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.export import exported
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError

RECORD_S = 1.0  # to record exports that the end of the console has cut
BY_BROWSER, BY_CONSOLE = "ended by the browser", "cut by the end of the console"
JSON_LINES = "application/x-ndjson"
HEADERS = {"content-disposition": 'attachment; filename="dead-letters.jsonl"'}


class Download(StreamingResponse):
    """The lines of an export. They end with the response: a generator that is only forgotten ends in another task, some
    time later."""

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines, media_type=JSON_LINES, headers=HEADERS)
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)


class Exports:
    """The exports that run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: set[asyncio.Future[None]] = set()  # each is done when its export is recorded
        self._is_stopping = False

    async def lines(self, selection: Selection, action: int | None) -> AsyncGenerator[bytes, None]:
        """One for each dead letter, as `dlq export` writes it; without an action nothing is recorded. Raises
        IngestError: what has come is not all."""
        url, written, outcome = self._settings.database_url, 0, ""
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running.add(recorded)
        try:
            heartbeats = nullcontext() if action is None else beating(url, action)
            async with heartbeats, aclosing(exported(self._settings, selection)) as lines:
                async for line in lines:
                    yield line.encode()
                    written += 1
            outcome = DONE
        except IngestError as error:
            outcome = f"failed: {error}"
            raise
        finally:
            cut = BY_CONSOLE if self._is_stopping else BY_BROWSER
            try:
                if action is not None:
                    await asyncio.shield(end(url, action, outcome or cut, done=written))
            finally:
                self._running.discard(recorded)
                recorded.set_result(None)

    def stop(self) -> None:
        """The console ends; the server cuts what is not complete after some seconds."""
        self._is_stopping = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as the block, and until what was cut is recorded."""
        try:
            yield
        finally:
            self.stop()
            if self._running:
                await asyncio.wait(self._running, timeout=RECORD_S)
