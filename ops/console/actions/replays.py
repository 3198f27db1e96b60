"""The replay that a user has started: a task of the console, which continues when the browser is closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import RedisError

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.appending.pace import Pace
from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.actions.table import COUNT_DONE, DONE, HOLD, REPLAY, beating, end, start
from traksense_ingest.ops.console.guard.sessions import Session
from traksense_ingest.ops.dlq.append import streams
from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection
from traksense_ingest.ops.dlq.replayer import Replayer, ReplayQueue, Tally
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.runtime.retry import Backoff
from traksense_ingest.shared.runtime.service import unless_stopped

BATCH_S = 30.0  # a statement of a batch
GRACE_S = 4.0  # for the current batch, when the console stops

log = logging.getLogger(__name__)


class TakenOver(Exception):
    """Another console found this replay without a recent heartbeat, and ended it."""


class CountedQueue(ReplayQueue):
    """Counts what is replayed in the row of the action, in the transaction that marks it."""

    def __init__(self, connection: Any, scope: Scope, action: int) -> None:
        super().__init__(connection, scope.selection, scope.selection.last or 0, scope.before)
        self._action = action

    async def take(self, first: int, limit: int) -> list[DeadLetter]:
        """Raises TakenOver before anything is appended."""
        if await self._connection.fetchval(HOLD, self._action) is None:
            raise TakenOver
        return await super().take(first, limit)

    async def mark(self, ids: Sequence[int]) -> None:
        await super().mark(ids)
        await self._connection.execute(COUNT_DONE, self._action, len(ids))


class Job:
    """One replay, until it is done, stopped, or failed. In an outage it waits."""

    def __init__(self, settings: Settings, action: int, scope: Scope, rate: float) -> None:
        self.action = action
        self.trouble: str | None = None  # what it waits for
        self.note: str | None = None  # the last line of its log
        self.stopped_by: str | None = None
        self._stop = asyncio.Event()
        self._settings = settings
        self._scope = scope
        self._rate = rate
        self._tally = Tally(next_id=scope.selection.first or 1)

    def stop(self, who: str) -> None:
        """It ends after the current batch."""
        if self.stopped_by is None:
            log.info("console: %s stops the replay %d", who, self.action, extra={"user": who})
            self.stopped_by = who
            self._stop.set()

    async def run(self) -> None:
        """Raises nothing: how it ended is in the row of the action, and in the log."""
        try:
            url, skipped = self._settings.database_url, lambda: len(self._tally.skipped)
            async with beating(url, self.action, skipped, self.stop):
                outcome = await self._outcome()
        except TakenOver:
            log.warning("console: the replay %d was ended by another console", self.action)
            return
        except Exception:
            log.exception("console: the replay %d was stopped by a bug", self.action)
            outcome = "failed: a bug, see the console's log"
        await self._end(outcome)

    async def _outcome(self) -> str:
        backoff = Backoff(0.2, 5.0)
        while not self._stop.is_set():
            try:
                left = await self._attempt()
                if not self._stop.is_set():
                    return DONE if left <= 0 else f"{left} left, which another replay had locked"
            except ConfigurationError as error:
                return f"failed: {error}"
            except IngestError as error:
                self._wait_for(error)
            except (RedisError, Unusable) as error:
                met = ingest_error("REDIS_URL", self._settings.redis_url, error)
                if isinstance(met, ConfigurationError):
                    return f"failed: {met}"
                self._wait_for(met)
            await unless_stopped(self._stop, asyncio.sleep(backoff.delay()))
        return f"stopped by {self.stopped_by}"

    def _wait_for(self, error: IngestError) -> None:
        if self.trouble is None:
            log.warning("console: the replay %d waits: %s", self.action, error)
        self.trouble = str(error)

    async def _attempt(self) -> int:
        """Replay until the end, an error or a stop; returns how many are left."""
        settings = self._settings
        async with open_table(settings.database_url, BATCH_S) as connection, streams(settings) as targets:
            self.trouble = None
            queue = CountedQueue(connection, self._scope, self.action)
            pace = Pace(self._rate, targets.room)
            replayer = Replayer(connection, queue, targets, pace, self._stop, self._say, self._tally)
            await replayer.run(None, self._tally.next_id)
            return await queue.count() - len(self._tally.skipped)

    def _say(self, line: str) -> None:
        self.note = line
        log.info("console: the replay %d: %s", self.action, line)

    async def _end(self, outcome: str) -> None:
        done, skipped = self._tally.replayed, len(self._tally.skipped)
        text = "console: the replay %d has ended: %s; %d dead letters replayed, %d can't be replayed"
        about = {"action": REPLAY, "outcome": outcome, "count": done}
        log.info(text, self.action, outcome, done, skipped, extra=about)
        await end(self._settings.database_url, self.action, outcome, skipped)


class Replays:
    """The job of this console, if there is one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._job: Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0  # by the clock of the event loop: how long the job may go on after a stop

    def job_of(self, action: int) -> Job | None:
        """The job of an action, if this console runs it."""
        return self.job if self.job and self.job.action == action else None

    @property
    def job(self) -> Job | None:
        """The job that runs."""
        return self._job if self._is_running else None

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self, connection: Any, who: Session, scope: Scope, rate: float, asked: int) -> bool:
        """False if a replay runs already, here or in another console. Raises what asyncpg raises."""
        if self._is_running:
            return False
        action = await start(connection, who, REPLAY, Scope(scope.selection, scope.before, rate), asked)
        if action is None:
            return False
        self._job = Job(self._settings, action, scope, rate)
        self._task = asyncio.create_task(self._job.run(), name="replay")
        return True

    def stop(self) -> None:
        """The console ends: the job does after its current batch, if that takes no longer than GRACE_S."""
        self._until = self._until or asyncio.get_running_loop().time() + GRACE_S
        if self.job:
            self.job.stop("the end of the console")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as the block; a job ends with it, and can be continued."""
        try:
            yield
        finally:
            self.stop()
            if self._task is not None:
                await asyncio.wait((self._task,), timeout=max(0, self._until - asyncio.get_running_loop().time()))
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task


async def scope_now(connection: Any, selection: Selection, *, again: bool) -> Scope:
    """The selected dead letters up to the newest one of now; with `again` also those that were replayed before."""
    queue = await ReplayQueue.since_now(connection, selection, again=again)
    return Scope(selection.between(selection.first, min(queue.last, selection.last or queue.last)), queue.before)


async def due(connection: Any, scope: Scope) -> int:
    """How many dead letters a replay would append."""
    return await ReplayQueue(connection, scope.selection, scope.selection.last or 0, scope.before).count()
