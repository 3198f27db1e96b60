"""What users of the console have done: the table console_action, and a log line for each action."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.guard.sessions import Session
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.runtime.retry import watch
from traksense_ingest.shared.runtime.tasks import in_background
from traksense_ingest.shared.sql import statements

STATEMENT_S = 5.0  # how long a page waits for a database that does not answer
BEAT_S = 3.0  # between two heartbeats of an action
GONE_S = 15.0  # without a heartbeat of its console for so long an action was interrupted
REPLAY, EXPORT, LOGIN, FAILED_LOGIN = "replay", "export", "login", "failed login"
DONE, INTERRUPTED = "done", "interrupted"

_statements = statements("traksense_ingest.ops.console.actions")
START, RECORD, END_INTERRUPTED = (_statements[name] for name in ("start", "record", "end_interrupted"))
HOLD, COUNT_DONE, END = (_statements[name] for name in ("hold", "count_done", "end"))
BEAT, ASK_STOP = (_statements[name] for name in ("beat", "ask_stop"))
NEWEST_REPLAY, ONE, PAGE = (
    _statements[name].replace("{columns}", _statements["columns"]) for name in ("newest_replay", "one", "page")
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Action:
    """A row of the table."""

    id: int
    started_at: datetime
    ended_at: datetime | None  # None while it runs
    user_name: str
    role: str
    action: str
    scope: Scope | None
    asked: int | None
    done: int
    skipped: int
    outcome: str | None
    stop_asked_by: str | None  # a user, whom the console that runs it may not have noticed yet

    @property
    def is_running(self) -> bool:
        return self.ended_at is None


async def newest_replay(connection: Any) -> Action | None:
    """Raises what asyncpg raises."""
    row = await connection.fetchrow(NEWEST_REPLAY, GONE_S)
    return _action(row) if row else None


async def action_of(connection: Any, id_: int) -> Action | None:
    """The action with this id."""
    row = await connection.fetchrow(ONE, GONE_S, id_)
    return _action(row) if row else None


async def page_of(connection: Any, up_to: int | None, size: int) -> Sequence[Action]:
    """At most `size` actions up to an id, the newest first."""
    return [_action(row) for row in await connection.fetch(PAGE, GONE_S, up_to, size)]


async def start(connection: Any, who: Session, action: str, scope: Scope, asked: int) -> int | None:
    """The id of a new action; None where a console replays already."""
    await connection.execute(END_INTERRUPTED, GONE_S)
    found: int | None = await connection.fetchval(
        START, who.user, who.role.name.lower(), action, scope.as_json(), asked
    )
    if found is not None:
        _log_start(who, action, scope, asked)
    return found


async def ask_stop(connection: Any, action: int, who: str) -> bool:
    """Ask the console that runs a replay to stop it; False if it has ended, or somebody has asked before."""
    is_asked = await connection.fetchval(ASK_STOP, action, who) is not None
    if is_asked:
        log.info("console: %s asks to stop the replay %d", who, action, extra={"user": who})
    return is_asked


async def start_reading(connection: Any, who: Session, action: str, scope: Scope, asked: int) -> int | None:
    """The same for an action that only reads; None where the console's role of PostgreSQL may only read, too. Then the
    log alone has the action."""
    try:
        return await start(connection, who, action, scope, asked)
    except asyncpg.InsufficientPrivilegeError:
        _log_start(who, action, scope, asked)
        return None


def _log_start(who: Session, action: str, scope: Scope, asked: int) -> None:
    about = {"user": who.user, "action": action, "count": asked, "scope": dict(scope.words())}
    log.info("console: %s: %s of %d dead letters%s", who.user, action, asked, _where(scope), extra=about)


@asynccontextmanager
async def beating(
    url: str, action: int, skipped: Callable[[], int] = lambda: 0, stop: Callable[[str], None] = lambda _: None
) -> AsyncIterator[None]:
    """Heartbeats of the action for as long as the block; `skipped` is how many were left out so far.

    `stop` is called with the user who has asked to stop it."""

    async def beat() -> None:
        with suppress(IngestError):  # an outage, of which the action itself says that it waits
            async with open_table(url, STATEMENT_S) as connection:
                if (who := await connection.fetchval(BEAT, action, skipped())) is not None:
                    stop(who)

    async with in_background(watch("an action", beat, BEAT_S), "heartbeat of an action"):
        yield


async def end(url: str, action: int, outcome: str, skipped: int = 0, done: int | None = None) -> None:
    """How it ended; `done` if nothing has counted it yet. The row stays as it is where the database can't be used."""
    try:
        async with open_table(url, STATEMENT_S) as connection:
            await connection.execute(END, action, outcome, skipped, done)
    except IngestError as error:
        log.warning("console: the end of the action %d is not in the table of actions: %s", action, error)


def _where(scope: Scope) -> str:
    words = ", ".join(f"{name}: {value!r}" for name, value in scope.words())
    return f" ({words})" if words else ""


def _action(row: Any) -> Action:
    scope = None if row["scope"] is None else Scope.from_json(row["scope"])
    return Action(**{**dict(row), "scope": scope})


class Recorder:
    """Writes rows of actions that need no database, in the background: a login does not wait until an outage ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self, user: str, role: str, action: str, outcome: str = DONE) -> None:
        """The caller writes the log line. During an outage of the database the row is missing."""
        if len(self._tasks) < 10:  # the limit of connections at once, also while passwords are guessed
            task = asyncio.create_task(self._record(user, role, action, outcome), name="record")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _record(self, *values: str) -> None:
        try:
            async with open_table(self._url, STATEMENT_S) as connection:
                await connection.execute(RECORD, *values)
        except IngestError as error:
            log.warning("console: an action is not recorded in console_action: %s", error)
