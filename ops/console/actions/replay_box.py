"""The newest replay as pages show it: its progress while it runs, and then what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from traksense_ingest.ops.console.actions.replays import Job, Replays, due
from traksense_ingest.ops.console.actions.table import DONE, INTERRUPTED, Action, newest_replay


@dataclass(frozen=True)
class ReplayBox:
    """`action` is None while the database, which has it, can't be used."""

    action: Action | None
    job: Job | None  # None: it runs in another console, or has ended
    left: int = 0  # of one that has ended

    @classmethod
    def unreachable(cls, replays: Replays) -> ReplayBox | None:
        """What is known of a job without the database."""
        return cls(None, replays.job) if replays.job else None

    @property
    def stop_asked_by(self) -> str | None:
        """The user who asked to stop it; it goes on until its console has read this, and its batch is done."""
        if self.job and self.job.stopped_by:
            return self.job.stopped_by
        return self.action.stop_asked_by if self.action else None

    @property
    def done(self) -> int:
        """Dead letters that were replayed, or skipped because they can't be."""
        return self.action.done + self.action.skipped if self.action else 0


async def box_of(connection: Any, replays: Replays) -> ReplayBox | None:
    """None if nothing was ever replayed from a console. Raises what asyncpg raises."""
    action = await newest_replay(connection)
    if action is None:
        return None
    job, left = replays.job_of(action.id), 0
    if job and action.outcome == INTERRUPTED:  # after an outage, until its next heartbeat
        action = replace(action, ended_at=None, outcome=None)
    if not action.is_running and action.outcome != DONE and action.scope is not None:
        left = max(0, await due(connection, action.scope) - action.skipped)
    return ReplayBox(action, job, left)
