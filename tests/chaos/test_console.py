"""The console that runs along: what is wrong with its answers is found, and fails the run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from types import SimpleNamespace
from typing import cast

import asyncpg
import pytest

from tests.chaos.console import replay, visitor
from tests.chaos.console.faults import KILLED
from tests.chaos.console.report import HEADINGS, console_rows, console_sums
from tests.chaos.console.service import MEMORY_MAX_KIB, ConsoleService
from tests.chaos.console.visitor import Reading, Visitor, masked, problem_of
from tests.chaos.fault import Fault
from tests.chaos.faults import FAULTS, all_faults, short_form
from tests.chaos.load import Load
from tests.chaos.outcome import Incident, Outcome, Watch
from tests.chaos.pipeline import Pipeline
from tests.chaos.report import markdown
from tests.chaos.verdict import Verdict as OfMessages
from tests.support.console import Answer, Browser
from tests.support.stack import Stack
from tests.support.waiting import eventually, watching
from traksense_ingest.ops.status.verdict import Verdict
from traksense_ingest.shared import config
from traksense_ingest.shared.streams.snapshot import StreamSnapshot, read_snapshot

pytestmark = pytest.mark.long

VERDICT = '<section id="verdict" aria-label="The pipeline now" class="verdict {}">{}</section>'
BAD = VERDICT.format("bad", "The database has been unreachable for 4 s: nothing is lost &amp; all is kept.")
PAGE = f"<body>{BAD}<main><h1>Dead letters</h1></main></body>"
NAMED = PAGE.replace("</h1>", "</h1><p>DATABASE_URL=postgresql://db: refused</p>")
GOOD = PAGE.replace(BAD, VERDICT.format("good", "No problems: 200 messages/s are stored as they arrive."))


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, PAGE, None),
        (503, NAMED, None),
        (503, PAGE, "does not say what can't be used"),
        (500, PAGE, "answered with 500"),
        (303, "", "answered with 303"),
        (200, PAGE.replace("h1", "h2"), "and no page"),
        (200, PAGE.replace(BAD, ""), "and no page"),
        (503, "Service Unavailable", "and no page"),
        (200, PAGE + "Traceback (most recent call last)", "shows a traceback"),
    ],
)
def test_an_answer_is_a_page(status: int, body: str, problem: str | None) -> None:
    found = problem_of(Answer(status, {}, body))
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_verdicts_are_compared_without_their_figures() -> None:
    shown = Answer(200, {}, PAGE).verdict
    assert shown == Verdict("bad", "The database has been unreachable for 4 s: nothing is lost & all is kept.")
    assert masked(shown) == masked(replace_text(shown, shown.text.replace("4 s", "61.5 s")))
    assert masked(shown) != masked(replace_text(shown, shown.text.replace("4 s", "4 min")))
    assert masked(shown) != masked(Verdict("warning", shown.text))


def replace_text(verdict: Verdict, text: str) -> Verdict:
    return verdict._replace(text=text)


class Pages(ConsoleService):
    """A console of this test's own, which answers with `page`."""

    page = GOOD
    status = 200

    @property
    def starts(self) -> int:
        return self.started

    started = 1

    def check(self) -> None:
        """It runs."""

    def measure(self) -> None:
        """It takes nothing."""


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[Visitor, Pages]]:
    pages = Pages({}, directory, is_running=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.page.encode()
            self.send_response(pages.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    pages.browser = Browser(server.server_address[1])
    try:
        yield Visitor(pages), pages
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


async def test_who_visits_notes_each_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "EVERY_S", 0.01)
    async with serving(tmp_path) as (visiting, pages):
        async with watching(visiting.run()):
            await eventually(lambda: {reading.path for reading in visiting.readings} >= {"/", "/dead", "/devices"})
            assert visiting.problems == []
            pages.status = 303
            await eventually(lambda: any("answered with 303" in problem for problem in visiting.problems))
        pages.is_running = False
        known = len(visiting.readings)
        assert await visiting.visit("/") is None
        assert len(visiting.readings) == known, "nobody asks a console that is killed"


async def test_no_answer_is_a_problem_unless_it_was_killed(tmp_path: Path) -> None:
    async with serving(tmp_path) as (visiting, _):
        pass
    assert await visiting.visit("/") is None
    assert visiting.problems == ["/: no answer: ConnectionRefusedError"]
    assert [reading.status for reading in visiting.readings] == [visitor.NO_ANSWER]


async def test_what_is_down_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "SHOWN_LIMIT_S", 0.1)
    async with serving(tmp_path) as (visiting, pages):
        await visiting.visit("/")
        assert not await visiting.sees("database", 0.0)
        pages.page = PAGE
        await visiting.visit("/")
        assert await visiting.sees("database", 0.0)
        assert not await visiting.sees("redis", 0.0)
        assert not await visiting.sees("database", math.inf), "that was before"


async def test_afterwards_it_says_what_status_says(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.receiver()
    await stack.writer()
    await stack.is_well()
    async with serving(tmp_path) as (visiting, pages):
        pages.environment = dict(stack.environment)
        pages.page = PAGE.replace(BAD, VERDICT.format("good", "No problems; no messages arrive."))
        assert await visiting.agrees() is None
        monkeypatch.setattr(visitor, "AGREES_LIMIT_S", 0.1)
        pages.page = PAGE
        differs = await visiting.agrees()
        assert differs is not None
        assert "the console says Verdict(level='bad'" in differs
        assert "`status` Verdict(level='good'" in differs


async def test_an_entry_that_a_promoted_replica_did_not_have_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "AGREES_LIMIT_S", 0.1)
    left = Verdict("bad", "1 entry has left the streams without being stored.")

    async def status(_: Visitor) -> Verdict:
        return left

    monkeypatch.setattr(Visitor, "_status", status)
    async with serving(tmp_path) as (visiting, pages):
        pages.page = PAGE.replace(BAD, VERDICT.format(*left))
        assert await visiting.agrees(is_replicated=True) is None
        assert await visiting.agrees() is not None


async def test_dead_letters_are_replayed_exactly_once_through_a_kill(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "LETTERS", 200)
    monkeypatch.setattr(replay, "RATE", 10.0)
    await stack.writer()
    console = ConsoleService(dict(stack.environment), tmp_path)
    visiting, connection = Visitor(console), await asyncpg.connect(stack.database_url)
    await console.start()
    try:
        await replay.keep_running(visiting, connection)
        await eventually(lambda: stack.fetchval("SELECT count(*) > 10 FROM ts_measure"))
        cookies = dict(console.browser.cookies)
        await console.kill()
        await console.start()
        await stack.execute("UPDATE console_action SET seen_at = now() - interval '1 min' WHERE ended_at IS NULL")
        await replay.is_interrupted(visiting, connection, cookies)
        await replay.end(visiting)
        await replay.keep_running(visiting, connection)
        await replay.keep_running(visiting, connection)
        await replay.end(visiting)
        await stack.has_rows("ts_measure", 400)
        assert await replay.check(visiting, connection) == 400
        assert visiting.problems == []
        await connection.execute("DELETE FROM ts_measure WHERE v_num = 7")
        await replay.check(visiting, connection)
        assert "(399, 399, 0.0, 399.0)" in visiting.problems[0]
    finally:
        await connection.close()
        await console.kill()
    assert console.tracebacks == []


async def test_what_the_console_shows_wrongly_fails_the_run(stack: Stack, tmp_path: Path) -> None:
    console = ConsoleService({}, tmp_path, highest_kib=100)
    visiting = Visitor(console)
    visiting.readings += [
        Reading("/", 1.0, 0.5, 200, Verdict("bad", "The database is unreachable: nothing is lost.")),
        Reading("/dead", 2.0, 1.5, 503, Verdict("bad", "The database is unreachable: nothing is lost.")),
        Reading("/", 9.0, 0.1, 200, Verdict("good", "No problems; no messages arrive.")),
    ]
    fault = Fault("database: bored", _does_nothing, shown="database")
    incident = Incident(fault, 0, 3, 5, has_recovered=True, took_effect=True, shown_s=1.5)
    load, verdict = Load(config.load(mqtt_url=stack.broker.url), rate=1), OfMessages(*[frozenset[int]()] * 8)
    snapshot: StreamSnapshot = await read_snapshot(stack.clients, 0)
    outcome = Outcome([incident], load, verdict, snapshot, 0, Watch(), [], 0, visitor=visiting)
    assert outcome.is_good
    row = ("database: bored", "3", "2", "1", "1.5", "1.5", "The database is unreachable (2)")
    assert [*console_rows(outcome)] == [row]
    text = markdown(outcome, command="make chaos", head="two writers")
    assert f"| {' | '.join(HEADINGS)} |" in text
    assert f"| {' | '.join(row)} |" in text
    assert "- pages of the console: 3 asked for: 2 with 200, 1 with 503; the longest took 1.5 s" in text
    assert dict(console_sums(replace(outcome, visitor=None))) == {"console": "not installed"}
    assert "The console" not in markdown(replace(outcome, visitor=None), command="make chaos", head="two writers")
    unseen, differs = replace(incident, shown_s=math.inf), replace(incident, differs="both differ")
    wrong = [complaint for each in (unseen, differs) for complaint in replace(outcome, incidents=[each]).complaints]
    assert wrong == [
        "database: bored: the console's verdict did not name 'database'",
        "database: bored: when it was over, both differ",
    ]
    console.highest_kib = MEMORY_MAX_KIB + 1
    visiting.note("/: answered with 500")
    visiting.note("/: answered with 500")
    assert outcome.complaints == [
        f"console: took {MEMORY_MAX_KIB + 1} KiB of memory",
        "console: /: answered with 500 (2 times)",
    ]


@asynccontextmanager
async def _does_nothing(_: object) -> AsyncIterator[None]:
    yield


def test_it_is_killed_in_each_short_form() -> None:
    for seed in range(5):
        assert KILLED.name in {fault.name for fault in short_form(FAULTS, Random(seed))}


def test_where_none_runs_it_is_not_killed() -> None:
    streams = SimpleNamespace(layout="server")
    pipeline = SimpleNamespace(streams=streams, broker_survives=True, pooler=True, visitor=None)
    without = all_faults(cast(Pipeline, pipeline))
    pipeline.visitor = True
    assert [fault.name for fault in all_faults(cast(Pipeline, pipeline)) if fault not in without] == [KILLED.name]
