"""`status` says what it can within a second, whichever part is slow or silent: on a clock that jumps ahead."""

from __future__ import annotations

import asyncio
import itertools
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

import ops.status.look
import ops.status.run
from ops.status.command import PATIENCE_S, SAMPLE_S, WRITE_PATIENCE_S, status
from ops.status.database import Ledgers
from ops.status.look import Looker
from ops.status.part import State
from ops.status.report import Status
from ops.status.run import run_unwaited
from ops.status.streams import Look
from shared import config
from shared.shard import Shard

T = TypeVar("T")

AT_ONCE, SLOW, SILENT = 0.0, 0.4, 3600.0  # seconds until a part answers
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


class Parts:
    """Three parts at a pace each, in place of the ones that `Looker` asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broker: float, redis: float, database: float) -> None:
        self.heard: list[str] = []  # `broker?` when it is asked, `broker!` when it answers
        monkeypatch.setattr(ops.status.look, "greet", lambda *_: self._answer("broker", broker, None))
        monkeypatch.setattr(ops.status.look, "shards_that_hold", lambda *_: self._answer("redis", redis, [0]))
        for name in ("look_at", "look_after"):
            monkeypatch.setattr(ops.status.look, name, lambda *_: self._answer("redis", redis, look()))

        @asynccontextmanager
        async def rows(_: Ledgers) -> AsyncIterator[Any]:
            await self._answer("database", database, None)
            yield NoRows

        monkeypatch.setattr(Ledgers, "rows", rows)

    async def _answer(self, name: str, pace: float, answer: T) -> T:
        self.heard.append(f"{name}?")
        await asyncio.sleep(pace / 2 if name == "redis" else pace)  # of Redis a look asks two things
        self.heard.append(f"{name}!")
        return answer


class NoRows:
    @staticmethod
    async def read() -> dict[str, Any]:
        return {}


def look() -> Look:
    return Look(0.0, [Shard(stream="ingest:{0}")], [])


async def look_once() -> Status:
    async with Looker(config.load(), PATIENCE_S) as looker:
        return await looker.look(SAMPLE_S)


def test_the_defaults_leave_python_its_half_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ops.status.run, "show_status", lambda *options, **_: given.append(options[1:4]))
    monkeypatch.setattr(ops.status.run, "accept_loss_once", lambda *options, **_: given.append(options[1:]))
    for options in ([], ["--timeout", "7"], ["--accept-loss"]):
        assert CliRunner().invoke(status, options).exit_code == 0
    assert given == [(None, SAMPLE_S, PATIENCE_S), (None, SAMPLE_S, 7.0), (WRITE_PATIENCE_S,)]
    assert max(SAMPLE_S, PATIENCE_S) <= 0.5


@pytest.mark.parametrize(("broker", "redis", "database"), [*itertools.product(PACES, repeat=3)])
def test_who_answers_is_up_and_who_does_not_is_told_in_time(
    monkeypatch: pytest.MonkeyPatch, broker: float, redis: float, database: float
) -> None:
    Parts(monkeypatch, broker, redis, database)
    found, seconds = timed(look_once)
    assert {part.name: part.state for part in found.parts} == {
        name: State.AWAY if pace == SILENT else State.UP
        for name, pace in (("broker", broker), ("redis", redis), ("database", database))
    }
    assert (found.now is None) is (redis == SILENT)
    slowness = {AT_ONCE: 0.0, SLOW: 1.5 * SLOW, SILENT: 0.0}[redis]  # before the sample, and after it
    assert seconds <= max(SAMPLE_S, PATIENCE_S) + slowness + 1e-6


def test_each_is_asked_before_any_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(monkeypatch, SLOW, SLOW, SLOW)
    timed(look_once)
    assert sorted(parts.heard[:3]) == ["broker?", "database?", "redis?"]


def test_streams_are_shown_although_nobody_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look at Redis does not wait for the broker, nor for a time-out of its own."""
    parts = Parts(monkeypatch, SILENT, AT_ONCE, AT_ONCE)
    found, seconds = timed(look_once)
    assert [shard.stream for shard in found.shards] == ["ingest:{0}"]
    assert (parts.heard.count("redis!"), "broker!" in parts.heard) == (3, False)
    assert seconds <= PATIENCE_S + 1e-6


def test_what_is_remembered_is_so_after_it_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(monkeypatch, AT_ONCE, AT_ONCE, AT_ONCE)
    copied: list[Any] = []

    async def copy(_: Looker, sound: Any) -> None:
        copied.append(sound)

    monkeypatch.setattr(Looker, "_copy", copy)

    async def look_and_remember() -> int:
        async with Looker(config.load(), PATIENCE_S) as looker:
            await looker.remember()  # of nothing
            await looker.look(SAMPLE_S)
            seen = len(copied)
            await looker.remember()
            await looker.remember()  # again within 10 s
            return seen

    assert timed(look_and_remember)[0] == 0
    assert (len(copied), parts.heard.count("database?")) == (1, 1)


def test_a_thread_that_waits_for_a_name_server_holds_up_nobody() -> None:
    is_over, ended = threading.Event(), threading.Event()

    def resolve() -> None:
        is_over.wait(60)
        ended.set()

    async def ask() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().run_in_executor(None, resolve)
        assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
        return 7

    assert run_unwaited(ask()) == 7
    assert not ended.is_set()
    is_over.set()
    assert ended.wait(60)


def test_what_a_thread_says_is_heard() -> None:
    def fail() -> None:
        raise OSError("no such host")

    async def ask() -> int:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="no such host"):
            await loop.run_in_executor(None, fail)
        return await loop.run_in_executor(None, lambda: 5)

    assert run_unwaited(ask()) == 5
