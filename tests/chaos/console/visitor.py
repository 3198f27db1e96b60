"""Somebody who asks for pages of the console once a second, and notes what is wrong with them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException

from tests.chaos.console.service import ConsoleService
from tests.support.console import Answer, text_of
from tests.support.program import run
from tests.support.waiting import eventually, pause
from traksense_ingest.ops.status.verdict import BAD, Verdict

EVERY_S = 1.0
ROUNDS = (("/",), ("/dead", "/devices"))  # paths that are asked for one after another
LIMIT_S = 30.0  # a page that waits for a database that hangs takes some 10 s
SHOWN_LIMIT_S = 30.0  # until the verdict names a dependency that is down
LEFT = "left the streams without being stored"
AGREES_LIMIT_S = 60.0  # until the verdict is that of `status` again
NO_ANSWER = 0


@dataclass(frozen=True)
class Reading:
    """One answer; `at` is when it was asked for, by time.monotonic()."""

    path: str
    at: float
    took_s: float
    status: int
    verdict: Verdict | None


class Visitor:
    """Has opened the link of a console, and does so again after each kill."""

    def __init__(self, console: ConsoleService) -> None:
        self.console = console
        self.readings: list[Reading] = []
        self._problems: Counter[str] = Counter()

    @property
    def problems(self) -> Sequence[str]:
        """A line for each kind of problem, with how often it was met."""
        return [f"{text} ({times} times)" if times > 1 else text for text, times in self._problems.items()]

    def note(self, problem: str) -> None:
        """Something is wrong with the console."""
        self._problems[problem] += 1

    @contextmanager
    def noting(self, doing: str) -> Iterator[None]:
        """What the console does not show in time, in the block, is a problem, and the run goes on."""
        try:
            yield
        except AssertionError as error:
            self.note(f"{doing}: {error}")

    async def run(self) -> None:
        """Ends only with an exception, when the console ended by itself."""
        async with asyncio.TaskGroup() as tasks:
            for paths in ROUNDS:
                tasks.create_task(self._ask_for(paths))

    async def _ask_for(self, paths: Sequence[str]) -> None:
        for path in itertools.cycle(paths):
            await self.visit(path)
            self.console.measure()
            await pause(EVERY_S)

    async def visit(self, path: str) -> Answer | None:
        """The answer, which is noted; None if the console was killed meanwhile, or has not answered."""
        start, asked = self.console.starts, time.monotonic()
        if not self.console.is_running:
            return None
        try:
            answer = await asyncio.to_thread(self.console.browser.get, path)
        except (OSError, HTTPException) as error:
            if self._is_still(start):
                self.console.check()
                self._add(Reading(path, asked, time.monotonic() - asked, NO_ANSWER, None))
                self.note(f"{path}: no answer: {type(error).__name__}")
            return None
        if not self._is_still(start):
            return None
        self._add(Reading(path, asked, time.monotonic() - asked, answer.status, answer.verdict))
        if problem := problem_of(answer):
            self.note(f"{path}: {problem}")
        return answer

    def _is_still(self, start: int) -> bool:
        return self.console.is_running and self.console.starts == start

    def _add(self, reading: Reading) -> None:
        self.readings.append(reading)
        if reading.took_s > LIMIT_S:
            self.note(f"{reading.path}: took more than {LIMIT_S:g} s")

    def between(self, begin: float, end: float) -> list[Reading]:
        """What was asked for in a span of time."""
        return [reading for reading in self.readings if begin <= reading.at < end]

    async def sees(self, word: str, since: float) -> bool:
        """Wait until the verdict is bad and names this; False if it does not in time."""

        def is_named() -> bool:
            verdicts = [reading.verdict for reading in self.between(since, time.monotonic()) if reading.verdict]
            return any(each.level == BAD and word in each.text.lower() for each in verdicts)

        return await _holds(is_named, SHOWN_LIMIT_S)

    async def agrees(self, *, is_replicated: bool = False) -> str | None:
        """Wait until the verdict is that of `status`, and not bad; otherwise returns both. Where Redis has replicas, it
        may be about an entry that one did not have when it was promoted, which its receiver has appended again."""
        both = ""

        async def is_same() -> bool:
            nonlocal both
            says, answer = await self._status(), await self.visit("/")
            shown = answer.verdict if answer else None
            both = f"the console says {shown}, `status` {says}"
            if shown is None or masked(shown) != masked(says):
                return False
            return shown.level != BAD or (is_replicated and LEFT in shown.text)

        return None if await _holds(is_same, AGREES_LIMIT_S) else both

    async def _status(self) -> Verdict:
        """What the command says, with the variables of the console."""
        environment = self.console.environment
        done = await asyncio.to_thread(run, "ops", "status", "--json", environment=environment, timeout=60)
        return Verdict(**json.loads(done.stdout)["verdict"])


def problem_of(answer: Answer) -> str | None:
    """What is wrong with an answer: it must be a page, or one that says which server can't be used."""
    if answer.status not in (200, 503):
        return f"answered with {answer.status}: {_content(answer)}"
    if answer.verdict is None or "<h1>" not in answer.body:
        return f"answered with {answer.status}, and no page: {_content(answer)}"
    if answer.status == 503 and not re.search(r"(DATABASE|REDIS|MQTT)_URL", answer.text):
        return f"answered with 503, and does not say what can't be used: {_content(answer)}"
    if "Traceback" in answer.body:
        return "shows a traceback"
    return None


def _content(answer: Answer) -> str:
    """The beginning of a page's text, without its header."""
    return text_of("".join(answer.body.partition("<main")[1:]) or answer.body)[:200]


def masked(verdict: Verdict) -> Verdict:
    """Without its figures, which are others a moment later."""
    return Verdict(verdict.level, re.sub(r"\d[\d.]*", "…", verdict.text))


async def _holds(condition: object, limit_s: float) -> bool:
    try:
        await eventually(condition, timeout=limit_s)  # type: ignore[arg-type]
    except AssertionError:
        return False
    return True
