"""What the log says of what is not stored: each distinct bug once a batch, and readings in conflict once a minute."""

from __future__ import annotations

import logging

import pytest

from tests.support.decoding import decoded, v1
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Deferred
from traksense_ingest.writer.watch.failure_log import PERIOD_S, ConflictLog, log_deferred


def deferred(number: int, error: Exception, deliveries: int = 1) -> Deferred:
    return Deferred(parse_entry("s", b"%d-0" % number, [b"payload", b""], deliveries), error)


def test_entries_with_the_same_error_are_logged_together(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        log_deferred([deferred(number, KeyError("a" if number % 4 else "b")) for number in range(8)])
    assert [record.getMessage() for record in caplog.records] == [
        "s: failed at try 1 and stay pending: 2 entries: 0-0, 4-0",
        "s: failed at try 1 and stay pending: 6 entries: 1-0, 2-0, 3-0, …",
    ]
    assert all(record.exc_info for record in caplog.records)


def test_errors_that_all_differ_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log_deferred([deferred(number, KeyError(number)) for number in range(100)])
    assert len(caplog.records) == 6
    assert caplog.records[-1].getMessage() == "… and 95 entries with 95 other errors"


def test_without_a_bug_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log_deferred([])
    assert not caplog.records


def test_readings_in_conflict_are_logged_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    conflicts = ConflictLog(lambda: now)
    batch = [decoded(v1({"name": "A", "v": 1.0})), decoded(v1({"name": "A", "v": 1.0}, {"name": "A", "v": 2.0}))]
    conflicts.add({"": 1}, batch)
    conflicts.add({"khomp": 2}, batch)
    now = PERIOD_S
    conflicts.add({"khomp": 3}, batch)
    words = "readings are not stored, since their message has another value or unit of the same point and time"
    assert [record.getMessage() for record in caplog.records] == [
        f"1 {words}; the last message is of topic 'traksense/t/site/dev/telem'",
        f"5 {words}, mapping khomp: 5; the last message is of topic 'traksense/t/site/dev/telem'",
    ]
