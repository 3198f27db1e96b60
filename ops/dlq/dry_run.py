"""Dry runs of `dlq replay` and of the console: what a writer of this version would make of each dead letter."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from traksense_ingest.ops.database import each_row
from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection, dead_letter_from
from traksense_ingest.ops.dlq.replayer import ReplayQueue
from traksense_ingest.ops.dlq.table import NEWEST
from traksense_ingest.ops.forecast import STORED, Forecast, Forecaster
from traksense_ingest.ops.terminal import printable
from traksense_ingest.ops.writers_mappings import warn_of_others
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.database import in_transaction

REJECTED, INEXACT = "rejected again", "can't be replayed"


async def dry_run(connection: Any, settings: Settings, queue: ReplayQueue, limit: int | None, *, as_json: bool) -> None:
    """Print what each row would become, and counts; changes nothing."""
    forecaster, counts, rows = Forecaster(settings, REJECTED), Counter[str](), []
    await warn_of_others(settings, forecaster.mappings)
    async with in_transaction(connection, readonly=True):
        async for letter in queue.unlocked(limit):
            forecast = forecast_of(letter, forecaster)
            counts[forecast.outcome] += 1
            if as_json:
                rows.append({"id": letter.id, **forecast._asdict()})
            else:
                click.echo(f"{letter.id}: {forecast.outcome}: {printable(forecast.detail)}")
    if as_json:
        click.echo(json.dumps({"counts": counts, "rows": rows}, ensure_ascii=False))
        return
    message = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    click.echo(f"dry run, nothing was changed: {message or 'nothing to replay'}")


@dataclass
class Trial:
    """A dry run of the newest dead letters of a selection."""

    tried: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    details: dict[str, Counter[str]] = field(default_factory=dict)  # of each outcome
    is_cut: bool = False  # the time limit came before the last one

    @property
    def stored(self) -> int:
        return self.counts[STORED]


async def try_newest(
    connection: Any, forecaster: Forecaster, selection: Selection, before: datetime | None, most: int, seconds: float
) -> Trial:
    """Of at most `most` dead letters, for at most `seconds`. Raises what asyncpg raises."""
    trial, end = Trial(), time.monotonic() + seconds
    async with in_transaction(connection, readonly=True):
        async for row in each_row(connection, NEWEST, *selection.arguments, before, most, at_once=20):
            if time.monotonic() > end:
                trial.is_cut = True
                break
            forecast = await asyncio.to_thread(forecast_of, dead_letter_from(row), forecaster)
            trial.tried += 1
            trial.counts[forecast.outcome] += 1
            trial.details.setdefault(forecast.outcome, Counter())[forecast.detail] += 1
    return trial


def forecast_of(letter: DeadLetter, forecaster: Forecaster) -> Forecast:
    """What a replay of it would come to now."""
    if letter.replay_blocker:
        return Forecast(INEXACT, letter.replay_blocker)
    received_at, is_kept = letter.received_at or datetime.now(UTC), letter.received_at is not None
    return forecaster.of(letter.topic.encode(), letter.payload, received_at, replayed=is_kept)
