"""`dlq replay --dry-run`: what a writer of this version would make of each dead letter. Nothing is stored."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import click

from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.dlq.replayer import ReplayQueue
from traksense_ingest.ops.forecast import Forecast, Forecaster
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


def forecast_of(letter: DeadLetter, forecaster: Forecaster) -> Forecast:
    """What a replay of it would come to now."""
    if letter.replay_blocker:
        return Forecast(INEXACT, letter.replay_blocker)
    received_at, is_kept = letter.received_at or datetime.now(UTC), letter.received_at is not None
    return forecaster.of(letter.topic.encode(), letter.payload, received_at, replayed=is_kept)
