"""Ctrl-C and SIGTERM while `up` runs: nothing is left half done."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from traksense_ingest.ops.up.interruption import Interruption


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    with Interruption() as interruption:
        yield interruption


def test_an_interruption_waits_until_nothing_is_half_done(interruption: Interruption) -> None:
    interruption.check()
    signal.raise_signal(signal.SIGINT)  # here it raises nothing
    with pytest.raises(KeyboardInterrupt):
        interruption.check()


def test_an_interruption_in_a_finalizer_is_not_dropped(interruption: Interruption) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    Finalized()
    with pytest.raises(KeyboardInterrupt):
        interruption.sleep(0)


def test_an_interruption_ends_a_sleep(interruption: Interruption) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        interruption.sleep(3600)


def test_an_interruption_cancels_what_runs(interruption: Interruption) -> None:
    ended = []

    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        interruption.run(work())
    assert ended


def test_what_was_not_interrupted_returns_or_raises(interruption: Interruption) -> None:
    async def work(error: Exception | None = None) -> int:
        if error:
            raise error
        return 3

    assert interruption.run(work()) == 3
    with pytest.raises(ZeroDivisionError):
        interruption.run(work(ZeroDivisionError()))
