"""What runs beside the work never ends, and says each error once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from shared.watch import watch
from tests.support.waiting import eventually
from writer.deferral import report
from writer.entry import parse_entry
from writer.outcome import Deferred


async def test_each_error_is_told_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception | None] = [KeyError("a"), KeyError("a"), None, KeyError("a"), ValueError("b"), None]
    looks = iter(errors)
    ended = asyncio.Event()

    async def look() -> None:
        try:
            error = next(looks)
        except StopIteration:
            ended.set()
            return
        if error:
            raise error

    task = asyncio.create_task(watch("it", look, 0.001))
    await eventually(ended.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert told == [errors[0], errors[4]]


def deferred(number: int, error: Exception, deliveries: int = 1) -> Deferred:
    return Deferred(parse_entry("s", b"%d-0" % number, [b"payload", b""], deliveries), error)


def test_entries_with_the_same_error_are_told_together(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        report([deferred(number, KeyError("a" if number % 4 else "b")) for number in range(8)])
    assert [record.getMessage() for record in caplog.records] == [
        "s: failed at try 1 and stay pending: 2 entries: 0-0, 4-0",
        "s: failed at try 1 and stay pending: 6 entries: 1-0, 2-0, 3-0, …",
    ]
    assert all(record.exc_info for record in caplog.records)


def test_errors_that_all_differ_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    report([deferred(number, KeyError(number)) for number in range(100)])
    assert len(caplog.records) == 6
    assert caplog.records[-1].getMessage() == "… and 95 entries with 95 other errors"


def test_without_a_bug_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    report([])
    assert not caplog.records
