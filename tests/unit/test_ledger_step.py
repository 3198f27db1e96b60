"""What a writer does about a snapshot, as a pure function of the row, the snapshot and what it has seen."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import StreamSnapshot
from traksense_ingest.writer.watch.ledger_step import (
    KEPT_S,
    SPLIT_AFTER,
    Action,
    Close,
    Copy,
    Loss,
    Observation,
    Reset,
    Wait,
    step,
)

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


# A replica was promoted that had 95 of the 100 entries; the writer that came to it first has recorded 5 as lost.
OF_NEW = replace(ROW, added=95, in_stream=15, last_id="990-0", revision=6, lost=5)
SURE = SPLIT_AFTER + timedelta(seconds=1)


def at_old_master(row: LedgerRow = OF_NEW, now: StreamSnapshot = GROWN) -> Observation:
    """A writer that stays at the old master, which has got 30 entries more; after a while it is certain of that."""
    seen = Observation(ROW, ROW, THEN)
    for at in (NOW, NOW + SURE):
        action = step(row, now, seen, at)
        assert isinstance(action, Wait)
        seen = action.seen
    return seen


def test_a_redis_that_goes_on_has_lost_nothing_though_others_have_written_of_another() -> None:
    assert at_old_master().is_split
    assert at_old_master(replace(OF_NEW, is_closed=True)).is_split


def test_a_row_that_nobody_keeps_is_closed_by_who_finds_it() -> None:
    assert isinstance(after(replace(OF_NEW, age_s=KEPT_S + 1), GROWN, Observation(ROW, ROW, THEN)), Close)


def test_what_came_to_the_old_master_since_is_lost_when_its_writers_leave_it() -> None:
    at_new = snapshot(added=97, in_stream=17, revision=6)
    seen = at_old_master()
    action = after(OF_NEW, at_new, seen)
    assert isinstance(action, Close)
    assert action.loss == Loss(30, 0, 50, NOW + SURE)
    assert after(OF_NEW, at_new, action.seen) == action, "until it is written"
    accepted = after(replace(OF_NEW, lost=0), at_new, seen)
    assert isinstance(accepted, Close)
    assert accepted.loss.gone == 30, "an operator has accepted what was lost before"
    trimmed = after(replace(OF_NEW, in_stream=13), replace(at_new, in_stream=15), seen)
    assert isinstance(trimmed, Close)
    assert trimmed.loss.missing == 2, "it is accepted as lost when the ledger is reset"
    by_another = replace(OF_NEW, lost=5 + 30, revision=7)
    assert isinstance(after(by_another, replace(at_new, revision=7), seen), Copy)


def test_a_writer_that_comes_to_the_new_master_has_lost_what_others_had_written_of_the_old_one() -> None:
    """It had not seen that yet: to itself, its Redis goes on."""
    older, written = Observation(ROW, ROW, THEN), replace(ROW, added=110, in_stream=30, last_id="1001-0", revision=7)
    action = after(written, snapshot(added=104, in_stream=24, remaining=24, last_id="1000-9", revision=6), older)
    assert isinstance(action, Close)
    assert action.loss.gone == 6


def test_two_that_come_to_a_promoted_replica_one_after_the_other_do_not_count_as_split() -> None:
    """The second one reads that a loss is recorded, before the ledger is reset."""
    older, promoted = Observation(ROW, ROW, THEN), snapshot(added=104, in_stream=24, last_id="1000-9", revision=6)
    recorded = replace(ROW, added=110, in_stream=30, last_id="1001-0", revision=8, is_closed=True, lost=6)
    action = after(recorded, promoted, older)
    assert isinstance(action, Wait)
    assert not action.seen.is_split
    of_new = replace(ROW, added=104, in_stream=24, last_id="1000-9", revision=8, lost=6)
    action = after(of_new, replace(promoted, revision=8), action.seen)
    assert isinstance(action, Wait)
    assert action.seen.split is None
