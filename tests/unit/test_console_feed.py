"""The console's feed: a status that can't be collected is not shown as that of now."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from tests.support.waiting import eventually
from traksense_ingest.ops.console.live import feed
from traksense_ingest.ops.console.live.feed import OLD_S, Feed
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.verdict import BAD
from traksense_ingest.shared import config
from traksense_ingest.shared.errors import IngestError


class Collector:
    """Has one status for each permit, and hangs without one."""

    def __init__(self, permits: int) -> None:
        self.permits = asyncio.Semaphore(permits)
        self.sample_s: list[float] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def collect(self, sample_s: float) -> Status:
        self.sample_s.append(sample_s)
        await self.permits.acquire()
        return Status((), (), 1.0, 10)


def collecting(monkeypatch: pytest.MonkeyPatch, permits: int) -> Collector:
    collector = Collector(permits)

    def made(*_: object, **__: object) -> Any:
        return collector

    monkeypatch.setattr(feed, "StatusCollector", made)
    monkeypatch.setattr(feed, "PERIOD_S", 0.0)
    return collector


async def test_a_status_that_is_old_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    collector = collecting(monkeypatch, 1)
    fed = Feed(config.load(), lambda: now)
    async with fed.running():
        fresh = await fed.verdict()
        assert fresh.level != BAD
        now += OLD_S + 1
        old = await fed.verdict()
        assert (old.level, "the last status is 11 s old" in old.text) == (BAD, True)
        collector.permits.release()

        async def is_fresh() -> bool:
            return await fed.verdict() == fresh

        await eventually(is_fresh, "the next status is one of now")


async def test_without_any_status_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    collecting(monkeypatch, 0)
    monkeypatch.setattr(feed, "OLD_S", 0.0)
    fed = Feed(config.load())
    async with fed.running():
        with pytest.raises(IngestError, match="can't be collected"):
            await fed.status()
        assert (await fed.verdict()).level == BAD


async def test_the_first_page_waits_for_the_first_rates_less_than_half_of_its_500_ms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = collecting(monkeypatch, 1)
    fed = Feed(config.load())
    async with fed.running():
        await fed.status()
    assert collector.sample_s[0] < 0.25
