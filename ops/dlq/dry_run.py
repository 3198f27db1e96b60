"""`dlq replay --dry-run`: decodes each dead letter as a writer of this version would, and stores nothing."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple, assert_never

import click

from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.dlq.replayer import ReplayQueue
from traksense_ingest.ops.dlq.writers_mappings import warn_of_others
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.writer.decode.current import compiled
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import (
    AckRow,
    AwaitsBirth,
    CommandRow,
    Decoded,
    Deferred,
    EventRow,
    Ignored,
    Rejected,
)

STORED, REJECTED, FAILS, INEXACT = "would be stored", "rejected again", "makes the writer fail", "can't be replayed"
IGNORED = "would be ignored"


async def dry_run(connection: Any, settings: Settings, queue: ReplayQueue, limit: int | None, *, as_json: bool) -> None:
    """Print what each row would become, and counts; changes nothing."""
    forecaster, counts, rows = Forecaster(settings), Counter[str](), []
    await warn_of_others(settings, forecaster.mappings)
    async with in_transaction(connection, readonly=True):
        async for letter in queue.unlocked(limit):
            forecast = forecaster.of(letter)
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


class Forecast(NamedTuple):
    """One of the outcomes above, and its detail."""

    outcome: str
    detail: str


class Forecaster:
    """Decodes within the limits that the operator set, as a writer would."""

    def __init__(self, settings: Settings) -> None:
        mappings = load(settings.ingest_mappings)
        self.mappings = mappings.digests
        self._routes = compiled(settings, mappings)

    def of(self, letter: DeadLetter) -> Forecast:
        """The outcome now."""
        if letter.replay_blocker:
            return Forecast(INEXACT, letter.replay_blocker)
        id_ = f"{time.time_ns() // 1_000_000}-0"
        received_at, is_kept = letter.received_at or datetime.now(UTC), letter.received_at is not None
        entry = Entry(letter.stream, id_, letter.topic.encode(), letter.payload, received_at, 1, replayed=is_kept)
        match self._routes.decode(entry):
            case Decoded() as decoded:
                return Forecast(STORED, _rows(decoded))
            case Rejected() as rejected:
                return Forecast(REJECTED, rejected.reason)
            case Ignored() as ignored:
                return Forecast(IGNORED, f"{ignored.reason}: there is nothing to store")
            case AwaitsBirth() as waiting:
                return Forecast(REJECTED, waiting.reason)
            case Deferred() as deferred:
                return Forecast(FAILS, describe(deferred.error))


def _rows(decoded: Decoded) -> str:
    """Rows that exist already would be duplicates, which only the database knows."""
    counts = Counter[str]()
    for rows in decoded.rows:
        match rows:
            case Measures():
                counts["ts_measure"] += len(rows)
            case AckRow():
                counts["cmd_ack"] += 1
            case CommandRow():
                counts["command"] += 1
            case EventRow():
                counts["device_event"] += 1
            case _:
                assert_never(rows)
    return ", ".join(f"{number(count, 'row')} of {table}" for table, count in counts.items()) or "no rows"
