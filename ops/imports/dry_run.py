"""`import --dry-run`: what a writer of this version would make of each message. Nothing is appended."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import click

from traksense_ingest.ops.appending.pace import BATCH_MAX
from traksense_ingest.ops.forecast import STORED, Forecaster
from traksense_ingest.ops.imports.source import Message, Source, Survey
from traksense_ingest.ops.terminal import printable
from traksense_ingest.ops.writers_mappings import warn_of_others
from traksense_ingest.shared.config import Settings

REJECTED, INVALID = "would be dead-lettered", "can't be imported"
REASONS = 20  # that are shown
REASONS_MAX = 10_000  # that are counted one by one
OTHERS = "other reasons"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Reason = tuple[str, str]  # an outcome, and why


class Forecasts:
    """Outcomes, and why something would not be stored: how often, and where first."""

    def __init__(self) -> None:
        self.outcomes = Counter[str]()
        self.reasons = Counter[Reason]()
        self.first: dict[Reason, str] = {}

    def add(self, outcome: str, detail: str, place: str) -> None:
        """One message's."""
        self.outcomes[outcome] += 1
        if outcome == STORED:
            return
        is_countable = (outcome, detail) in self.first or len(self.first) < REASONS_MAX
        reason = (outcome, detail if is_countable else OTHERS)
        self.reasons[reason] += 1
        self.first.setdefault(reason, place)


async def dry_run(settings: Settings, source: Source, survey: Survey, limit: int | None, *, as_json: bool) -> None:
    """Print how many messages would have which outcome, and why. Raises what the source raises."""
    forecaster, found = Forecaster(settings, REJECTED), Forecasts()
    await warn_of_others(settings, forecaster.mappings)
    after, left = "", survey.messages + survey.invalid if limit is None else limit
    while left > 0 and (taken := await source.take(after, survey.last, min(BATCH_MAX, left))):
        after, left = taken[-1].position, left - len(taken)
        for item in taken:
            if isinstance(item, Message):
                forecast = forecaster.of(item.topic.encode(), item.payload, _received_at(item))
                found.add(forecast.outcome, forecast.detail, source.place(item.position))
            else:
                found.add(INVALID, item.reason, source.place(item.position))
    click.echo(_json(found) if as_json else "\n".join(_lines(found)))


def _received_at(message: Message) -> datetime:
    return datetime.now(UTC) if message.received_ms is None else _EPOCH + timedelta(milliseconds=message.received_ms)


def _json(found: Forecasts) -> str:
    reasons = [
        {"outcome": reason[0], "reason": reason[1], "count": count, "first": found.first[reason]}
        for reason, count in found.reasons.most_common()
    ]
    return json.dumps({"counts": found.outcomes, "reasons": reasons}, ensure_ascii=False)


def _lines(found: Forecasts) -> list[str]:
    shown = [
        f"{count} {outcome}: {printable(detail)} (first: {printable(found.first[outcome, detail])})"
        for (outcome, detail), count in found.reasons.most_common(REASONS)
    ]
    if len(found.reasons) > REASONS:
        shown.append(f"… {len(found.reasons) - REASONS} more reasons: --json has all")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes.most_common())
    return [*shown, f"dry run, nothing was imported: {counts or 'there are no messages'}"]
