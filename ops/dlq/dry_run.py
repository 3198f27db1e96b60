"""`traksense-ingest dlq replay --dry-run`."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from ops.dlq.due import Due
from ops.dlq.forecast import Forecaster
from ops.dlq.readable import printable
from shared.config import Settings


async def dry_run(connection: Any, settings: Settings, due: Due, limit: int | None, *, as_json: bool) -> None:
    """Say of each row what it would become, and count; changes nothing."""
    forecaster, counts, rows = Forecaster(settings), Counter[str](), []
    async with connection.transaction(readonly=True):
        async for letter in due.look(limit):
            forecast = forecaster.of(letter)
            counts[forecast.outcome] += 1
            if as_json:
                rows.append({"id": letter.id, **forecast._asdict()})
            else:
                click.echo(f"{letter.id}: {forecast.outcome}: {printable(forecast.detail)}")
    if as_json:
        click.echo(json.dumps({"counts": counts, "rows": rows}, ensure_ascii=False))
        return
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    click.echo(f"dry run, nothing was changed: {told or 'nothing to replay'}")
