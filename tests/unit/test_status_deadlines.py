"""`status` says what it can in time, whichever dependency is slow or silent: on a clock that jumps ahead."""

from __future__ import annotations

import asyncio
import itertools
import selectors
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from tests.support.waiting import pause
from traksense_ingest.ops.status import actions as status_actions
from traksense_ingest.ops.status import collector as status_collector
from traksense_ingest.ops.status import run as status_run
from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.command import PATIENCE_S, SAMPLE_S, WRITE_PATIENCE_S, status
from traksense_ingest.ops.status.dependency import State
from traksense_ingest.ops.status.ledgers import Ledgers, Snapshot
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.run import run_with_daemon_threads
from traksense_ingest.shared import config
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

T = TypeVar("T")

AT_ONCE, SLOW, SILENT = 0.0, 2.0, 3600.0  # seconds until a dependency answers; slow as in a container without its CPU
PACES = (AT_ONCE, SLOW, SILENT)


class Clock(selectors.DefaultSelector):
    """Time passes only where an event loop would wait for it, and then at once."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.seconds += timeout or 0.0
        return super().select(None if timeout is None else 0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.seconds


def timed(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, float]:
    """What comes of it, and how long it took."""
    loop = Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work()), loop.clock.seconds


class Dependencies:
    """Three dependencies at a pace each, in place of the ones that `StatusCollector` asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broker: float, redis: float, database: float) -> None:
        self.heard: list[str] = []  # `broker?` when it is asked, `broker!` when it answers
        monkeypatch.setattr(status_collector, "check_broker", lambda *_: self._answer("broker", broker, None))
        monkeypatch.setattr(status_collector, "shards_with_entries", lambda *_: self._answer("redis", redis, [0]))
        for name in ("take_snapshot", "take_snapshot_after"):
            monkeypatch.setattr(status_collector, name, lambda *_: self._answer("redis", redis, snapshot()))

        @asynccontextmanager
        async def rows(_: Ledgers) -> AsyncIterator[Any]:
            await self._answer("database", database, None)
            yield NoRows

        async def problem(_: Ledgers) -> None:
            """It is what it claims to be."""

        async def devices(_: Ledgers) -> None:
            """There is no view of them."""

        monkeypatch.setattr(Ledgers, "rows", rows)
        monkeypatch.setattr(Ledgers, "devices", devices)
        monkeypatch.setattr(Ledgers, "problem", problem)

    async def _answer(self, name: str, pace: float, answer: T) -> T:
        self.heard.append(f"{name}?")
        await pause(pace / 2 if name == "redis" else pace)  # of Redis two things are asked
        self.heard.append(f"{name}!")
        return answer


class NoRows:
    @staticmethod
    async def read() -> dict[str, Any]:
        return {}


def snapshot() -> Snapshot:
    return Snapshot(time.monotonic(), [StreamSnapshot(stream="ingest:{0}")], [])


async def collect_once() -> Status:
    async with StatusCollector(config.load(), PATIENCE_S) as collector:
        return await collector.collect(SAMPLE_S)


def test_the_defaults_leave_python_its_half_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(status_run, "show_status", lambda *options, **_: given.append(options[1:4]))
    monkeypatch.setattr(status_actions, "accept_loss", lambda *options, **_: given.append(options[1:]))
    for options in ([], ["--timeout", "7"], ["--accept-loss"]):
        assert CliRunner().invoke(status, options).exit_code == 0
    assert given == [(None, SAMPLE_S, PATIENCE_S), (None, SAMPLE_S, 7.0), (WRITE_PATIENCE_S,)]
    assert SAMPLE_S <= 0.5


def test_where_all_answer_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Dependencies(monkeypatch, AT_ONCE, AT_ONCE, AT_ONCE)
    assert timed(collect_once)[1] == pytest.approx(SAMPLE_S)


@pytest.mark.parametrize(("broker", "redis", "database"), [*itertools.product(PACES, repeat=3)])
def test_each_is_up_or_unreachable_in_time(
    monkeypatch: pytest.MonkeyPatch, broker: float, redis: float, database: float
) -> None:
    Dependencies(monkeypatch, broker, redis, database)
    found, seconds = timed(collect_once)
    assert {each.name: each.state for each in found.dependencies} == {
        name: State.UNREACHABLE if pace == SILENT else State.UP
        for name, pace in (("broker", broker), ("redis", redis), ("database", database))
    }
    assert (found.now is None) is (redis == SILENT)
    slowness = {AT_ONCE: 0.0, SLOW: 1.5 * SLOW, SILENT: 0.0}[redis]  # before the sample, and after it
    assert seconds <= max(SAMPLE_S, PATIENCE_S) + slowness + 1e-6


def test_each_is_asked_before_any_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    dependencies = Dependencies(monkeypatch, SLOW, SLOW, SLOW)
    timed(collect_once)
    assert sorted(dependencies.heard[:3]) == ["broker?", "database?", "redis?"]


def test_streams_are_shown_although_nobody_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second snapshot does not wait for the broker, nor for a time-out of its own."""
    dependencies = Dependencies(monkeypatch, SILENT, AT_ONCE, AT_ONCE)
    found, seconds = timed(collect_once)
    assert [shard.stream for shard in found.shards] == ["ingest:{0}"]
    assert (dependencies.heard.count("redis!"), "broker!" in dependencies.heard) == (3, False)
    assert seconds <= PATIENCE_S + 1e-6


def test_rates_from_before_an_outage_of_the_database_are_known_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the second time that it can't be used: what was stored before says nothing of what is stored now."""

    async def collect() -> list[bool]:
        async with StatusCollector(config.load(), PATIENCE_S) as collector:
            found = []
            for database in (AT_ONCE, SILENT, SILENT, AT_ONCE, SILENT):
                Dependencies(monkeypatch, AT_ONCE, AT_ONCE, database)
                found.append((await collector.collect(SAMPLE_S)).is_rate_older)
            return found

    async def collect_in_an_outage() -> bool:
        Dependencies(monkeypatch, AT_ONCE, AT_ONCE, SILENT)
        return (await collect_once()).is_rate_older

    assert timed(collect)[0] == [False, True, False, False, True]
    assert not timed(collect_in_an_outage)[0], "all of its rates are of the outage"


def test_what_is_recorded_is_so_after_it_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    dependencies = Dependencies(monkeypatch, AT_ONCE, AT_ONCE, AT_ONCE)
    copied: list[Any] = []

    async def copy(_: StatusCollector, sound: Any) -> None:
        copied.append(sound)

    monkeypatch.setattr(StatusCollector, "_copy", copy)

    async def collect_and_record() -> int:
        async with StatusCollector(config.load(), PATIENCE_S) as collector:
            await collector.record()  # of nothing
            await collector.collect(SAMPLE_S)
            seen = len(copied)
            await collector.record()
            await collector.record()  # again within 10 s
            return seen

    assert timed(collect_and_record)[0] == 0
    assert (len(copied), dependencies.heard.count("database?")) == (1, 1)


def test_a_thread_that_waits_for_a_name_server_holds_up_nobody() -> None:
    is_over, ended = threading.Event(), threading.Event()
    before = set(threading.enumerate())

    def resolve() -> None:
        is_over.wait(60)
        ended.set()

    async def ask() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().run_in_executor(None, resolve)
        new = set(threading.enumerate()) - before
        assert new
        assert all(thread.daemon for thread in new)
        return 7

    assert run_with_daemon_threads(ask()) == 7
    assert not ended.is_set()
    is_over.set()
    assert ended.wait(60)


def test_what_a_thread_returns_or_raises_arrives() -> None:
    def fail() -> None:
        raise OSError("no such host")

    async def ask() -> int:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="no such host"):
            await loop.run_in_executor(None, fail)
        return await loop.run_in_executor(None, lambda: 5)

    assert run_with_daemon_threads(ask()) == 5
