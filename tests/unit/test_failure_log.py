"""Entries that stay pending because of a bug: each distinct error is logged once a batch."""

from __future__ import annotations

import logging

import pytest

from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Deferred
from traksense_ingest.writer.watch.failure_log import log_deferred


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
