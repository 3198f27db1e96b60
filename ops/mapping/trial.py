"""The command `mapping try`: what messages become."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, assert_never

import click

from traksense_ingest.ops.dlq.hexdump import HEX_LINES, hexdump
from traksense_ingest.ops.dlq.payload import content_of, wrong_byte
from traksense_ingest.ops.dlq.payload_text import payload_lines_of
from traksense_ingest.ops.mapping.columns import columns, screen_width, wrapped
from traksense_ingest.ops.mapping.engine import Considered, Engine, loaded, taker_of, verdict_of
from traksense_ingest.ops.mapping.messages import message_dict, message_line, rfc3339
from traksense_ingest.ops.mapping.rows import rows_of, screen
from traksense_ingest.ops.mapping.sources import Source
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.runtime.service import EXIT_FAILED
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Deferred, Ignored, Outcome, Rejected

NO_ROUTE = "no route matches this topic"


def try_messages(spec: str | None, source: Source, save: Path | None, *, is_verbose: bool, as_json: bool) -> None:
    """The command; without a spec by INGEST_MAPPINGS. Exits with 1 if a single message is not stored."""
    settings = config.load()
    engine = Engine(loaded([spec] if spec else [], settings), settings)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        file = stack.enter_context(_opened(save)) if save else None
        show = _Trial(engine, file, counts, is_verbose=is_verbose, as_json=as_json)
        asyncio.run(show.run(source, settings))
    if not as_json and not source.is_one:
        click.echo(_summary(counts))
    if source.is_one and not counts["stored"] + counts["ignored"]:
        sys.exit(EXIT_FAILED)


def _opened(save: Path) -> IO[str]:
    try:
        return save.open("x", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--save={save}: {error.strerror}") from None


def _summary(counts: Counter[str]) -> str:
    found = ", ".join(_counted(count, verdict) for verdict, count in counts.most_common())
    return f"{number(counts.total(), 'message')}{f': {found}' if found else ''}; nothing was changed"


def _counted(count: int, verdict: str) -> str:
    if verdict == "stored":
        return f"{count} would be stored"
    return number(count, verdict) if verdict in ("dead letter", "bug") else f"{count} {verdict}"


class _Trial:
    def __init__(
        self, engine: Engine, file: IO[str] | None, counts: Counter[str], *, is_verbose: bool, as_json: bool
    ) -> None:
        self._engine, self._file, self._counts = engine, file, counts
        self._is_verbose, self._as_json = is_verbose, as_json

    async def run(self, source: Source, settings: config.Settings) -> None:
        """Show each message as it comes."""
        async for message in source.messages(settings, self._engine.mappings.filters()):
            outcome = self._engine.decode(message)
            considered = self._engine.considered(message)
            self._counts[verdict_of(outcome)] += 1
            if self._file:
                self._file.write(message_line(message) + "\n")
            if self._as_json:
                click.echo(json.dumps(as_dict(message, outcome, considered), ensure_ascii=False))
            else:
                shown = lines(message, outcome, considered, screen_width(), is_verbose=self._is_verbose)
                click.echo("\n".join(shown) + "\n")


def as_dict(message: Message, outcome: Outcome, considered: list[Considered]) -> dict[str, Any]:
    """For JSON: the message, the outcome, and its rows or the reason."""
    found = message_dict(message) | {"outcome": verdict_of(outcome), "route": label_of(considered)}
    match outcome:
        case Decoded():
            return found | {"rows": rows_of(outcome)}
        case Ignored(reason=reason) | Rejected(reason=reason) | AwaitsBirth(reason=reason):
            return found | {"reason": reason}
        case Deferred(error=error):
            return found | {"reason": describe(error)}
        case _:
            assert_never(outcome)


def lines(
    message: Message, outcome: Outcome, considered: list[Considered], width: int | None, *, is_verbose: bool
) -> Iterator[str]:
    """For a terminal."""
    retained = ", retained" if message.retained else ""
    yield from columns([[printable(message.topic), f"{rfc3339(message.received)}{retained}"]], width)
    if is_verbose:
        whys = [f"{label}: {why}" for label, why in whys_of(considered)] or [NO_ROUTE]
        yield from (line for text in whys for line in wrapped(text, width, "  "))
    yield from wrapped(heading_of(outcome, label_of(considered)), width)
    match outcome:
        case Decoded():
            yield from screen(rows_of(outcome), width)
        case Rejected():
            yield from _payload(message.payload, outcome.reason, full=is_verbose)
        case _:
            return


def _payload(payload: bytes, reason: str, *, full: bool) -> Iterator[str]:
    """With an arrow where the reason says that it is wrong; in hexadecimal if it is no text."""
    try:
        content_of(payload).decode()
        for line in payload_lines_of(payload, reason, full=full):
            yield re.sub(r"^(… .*: )--full$", r"\1-v", line)
    except UnicodeDecodeError:
        yield from hexdump(payload, HEX_LINES, wrong_byte(reason))


def label_of(considered: list[Considered]) -> str | None:
    """The name of the route that takes a message."""
    route = taker_of(considered)
    return route.label if route else None


def whys_of(considered: list[Considered]) -> Iterator[tuple[str, str]]:
    """For each route of the topic its name, and whether it takes the message and why not."""
    taker = taker_of(considered)
    for route, takes, why_not in considered:
        if not takes:
            yield route.label, f"no, {printable(why_not)}"
        elif route is taker:
            yield route.label, "takes it"
        else:
            yield route.label, f"not asked, since {taker.label if taker else ''} takes it"


def heading_of(outcome: Outcome, taker: str | None) -> str:
    """One line: the route, and the outcome of the message."""
    by = f"{taker}: " if taker else ""
    match outcome:
        case Decoded():
            dropped = f", {number(outcome.same_point, 'reading')} of a point that has one" if outcome.same_point else ""
            return f"{by}{number(len(rows_of(outcome)), 'row')}{dropped}"
        case Ignored(reason=reason):
            return f"{by}ignored: {printable(reason)}"
        case Rejected(reason=reason):
            return f"dead letter: {printable(reason)}"
        case AwaitsBirth(reason=reason):
            return f"{by}waits: {printable(reason)}"
        case Deferred(error=error):
            return f"{by}a bug: {printable(describe(error))}"
        case _:
            assert_never(outcome)
