"""What a writer does about a snapshot, as a pure function of the row, the snapshot and what it has seen."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import StreamSnapshot
from traksense_ingest.writer.watch.ledger_step import Action, Close, Copy, Loss, Observation, Reset, Wait, step

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(seconds=1)
ROW = LedgerRow(stream="s", added=100, stored=80, in_stream=20, last_id="1000-0", revision=5, seen_at=THEN)


def snapshot(**figures: Any) -> StreamSnapshot:
    known = {name: value for name, value in asdict(ROW).items() if name in StreamSnapshot.__dataclass_fields__}
    return StreamSnapshot(**known | figures)


GROWN = snapshot(added=130, in_stream=50, last_id="1000-1")
FLUSHED = snapshot(added=0, stored=0, in_stream=0, last_id="0-0", revision=0)


def after(row: LedgerRow, now: StreamSnapshot, seen: Observation | None = None) -> Action:
    return step(row, now, seen, NOW)


@pytest.mark.parametrize(
    ("row", "now", "kind"),
    [
        (ROW, snapshot(), Wait),
        (replace(ROW, age_s=61.0), snapshot(), Copy),
        (ROW, GROWN, Copy),
        (replace(ROW, age_s=0.4), GROWN, Wait),
        (replace(ROW, age_s=-3.0), GROWN, Copy),
        (LedgerRow(stream="s"), GROWN, Copy),
        (ROW, FLUSHED, Close),
        (replace(ROW, is_closed=True), FLUSHED, Reset),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_is_done(row: LedgerRow, now: StreamSnapshot, kind: type[Action]) -> None:
    assert isinstance(after(row, now), kind)


def test_a_loss_is_what_was_unsettled_when_last_seen() -> None:
    seen = Observation(ROW, GROWN, NOW)
    assert after(ROW, FLUSHED) == Close(Observation(ROW, FLUSHED, NOW, Loss(20, 0, 20, THEN)), Loss(20, 0, 20, THEN))
    action = after(ROW, FLUSHED, seen)
    assert isinstance(action, Close)
    assert action.loss == Loss(50, 0, 50, NOW)


def test_what_was_seen_before_another_writer_wrote_the_row_does_not_count() -> None:
    older = Observation(replace(ROW, revision=4), GROWN, NOW)
    action = after(ROW, FLUSHED, older)
    assert isinstance(action, Close)
    assert action.loss.gone == 20


def test_losses_that_are_not_recorded_yet_add_up() -> None:
    first = after(replace(ROW, removed=0), FLUSHED)
    assert isinstance(first, Close)
    grown = first.seen.then(replace(FLUSHED, added=7, in_stream=7, last_id="3000-0", is_counted=True), NOW)
    assert grown.ledger.revision == 1
    second = after(ROW, FLUSHED, grown)
    assert isinstance(second, Close)
    assert second.loss == Loss(27, 0, 7, NOW)


def test_what_was_missing_before_goes_with_the_ledger() -> None:
    action = after(replace(ROW, in_stream=17), FLUSHED)
    assert isinstance(action, Close)
    assert (action.loss.gone, action.loss.missing) == (17, 3)
