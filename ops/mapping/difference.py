"""The command `mapping diff`: what one mapping makes of messages, and what another one does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from traksense_ingest.ops.dlq.payload import without_route
from traksense_ingest.ops.mapping.columns import columns, screen_width, wrapped
from traksense_ingest.ops.mapping.engine import Engine, loaded, verdict_of
from traksense_ingest.ops.mapping.messages import message_dict, rfc3339
from traksense_ingest.ops.mapping.rows import Row, compact, key_of, rows_of, value_text
from traksense_ingest.ops.mapping.sources import Source
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.runtime.service import EXIT_FAILED
from traksense_ingest.writer.outcome import Decoded, Outcome

ADDED, REMOVED, DIFFERENT = "added", "removed", "different"
_SIGNS = {ADDED: "+", REMOVED: "-", DIFFERENT: "~"}


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is only in the new outcome, only in the old one, or not the same in both."""

    kind: str
    old: Row | None
    new: Row | None

    @property
    def row(self) -> Row:
        """The one that is there."""
        row = self.new or self.old
        assert row is not None  # noqa: S101  (one of them is always there)
        return row


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not the same for a message; `verdicts` where one is stored and the other isn't."""

    message: Message
    verdicts: tuple[str, str]
    reasons: tuple[str | None, str | None]
    changes: tuple[Change, ...]

    @property
    def is_none(self) -> bool:
        """Whether both make the same of it."""
        return not self.changes and self.verdicts[0] == self.verdicts[1] and self.reasons[0] == self.reasons[1]


def compare(old: str, new: str, source: Source, *, as_json: bool) -> None:
    """The command; exits with 1 if there is a difference."""
    settings = config.load()
    engines = Engine(loaded([old], settings), settings), Engine(loaded([new], settings), settings)
    counts = asyncio.run(_run(engines, source, settings, as_json=as_json))
    if as_json:
        click.echo(json.dumps({"summary": dict(counts)}))
    else:
        click.echo("\n".join(wrapped(_summary(counts), screen_width())))
    if counts["messages"] > counts["same"]:
        sys.exit(EXIT_FAILED)


async def _run(engines: tuple[Engine, Engine], source: Source, settings: Settings, *, as_json: bool) -> Counter[str]:
    filters = list(dict.fromkeys(name for engine in engines for name in engine.mappings.filters()))
    counts = Counter(dict.fromkeys(("messages", "same", ADDED, REMOVED, DIFFERENT), 0))
    alike = Alike() if source.letters is not None and not as_json else None
    async for message in source.messages(settings, filters):
        found = difference(message, *(engine.decode(message) for engine in engines))
        counts["messages"] += 1
        counts["same"] += found.is_none
        counts.update(change.kind for change in found.changes)
        if found.is_none:
            continue
        if as_json:
            click.echo(json.dumps(as_dict(found), ensure_ascii=False))
        elif alike is None or not alike.add(found):
            click.echo("\n".join(lines(found, screen_width())) + "\n")
    for found, count in alike or ():
        click.echo("\n".join(lines(found, screen_width(), count)) + "\n")
    return counts


class Alike:
    """Differences, each with the number of messages that have it: the same outcomes and reasons, and rows of the same
    points in which the same columns change, of whatever device, time and value."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._found: dict[Any, tuple[Difference, int]] = {}

    def add(self, found: Difference) -> bool:
        """Whether it is kept, until there are too many; the first one of each is the example."""
        key = (found.verdicts, found.reasons, tuple(map(_kind_of, found.changes)))
        if key not in self._found and len(self._found) >= self._most:
            return False
        example, count = self._found.get(key, (found, 0))
        self._found[key] = example, count + 1
        return True

    def __iter__(self) -> Iterator[tuple[Difference, int]]:
        return iter(self._found.values())


def _kind_of(change: Change) -> tuple[Any, ...]:
    row = change.row
    names = _changed_names(change.old, change.new) if change.old and change.new else ()
    return change.kind, row["table"], row.get("point") or row.get("event_type"), *names


def _changed_names(old: Row, new: Row) -> list[str]:
    return [name for name in new if old.get(name) != new.get(name)]


def difference(message: Message, old: Outcome, new: Outcome) -> Difference:
    """Rows are the same if their table and their key are."""
    before, after = _by_key(old), _by_key(new)
    changes = [Change(REMOVED, row, None) for key, row in before.items() if key not in after]
    for key, row in after.items():
        if key not in before:
            changes.append(Change(ADDED, None, row))
        elif before[key] != row:
            changes.append(Change(DIFFERENT, before[key], row))
    reasons = _reason(old), _reason(new)
    return Difference(message, (verdict_of(old), verdict_of(new)), reasons, tuple(changes))


def _reason(outcome: Outcome) -> str | None:
    """Without the route, whose name may be another one."""
    reason = getattr(outcome, "reason", None)
    return without_route(reason) if reason else None


def _by_key(outcome: Outcome) -> dict[Any, Row]:
    return {key_of(row): row for row in rows_of(outcome)} if isinstance(outcome, Decoded) else {}


def as_dict(found: Difference) -> dict[str, Any]:
    """For JSON."""
    sides = ("old", "new")
    outcomes = {
        side: {"outcome": verdict} | ({"reason": reason} if reason else {})
        for side, verdict, reason in zip(sides, found.verdicts, found.reasons, strict=True)
    }
    changes = [{"kind": change.kind, "old": change.old, "new": change.new} for change in found.changes]
    return message_dict(found.message) | outcomes | {"rows": changes}


def lines(found: Difference, width: int | None, count: int = 1) -> Iterator[str]:
    """For a terminal: the message, its two outcomes if they differ, and a line for each row."""
    many = f"{number(count, 'message')}, such as " if count > 1 else ""
    yield from columns([[many + printable(found.message.topic), rfc3339(found.message.received)]], width)
    if found.verdicts[0] != found.verdicts[1] or found.reasons[0] != found.reasons[1]:
        for sign, verdict, reason in zip("-+", found.verdicts, found.reasons, strict=True):
            yield from wrapped(f"{sign} {verdict}{f': {printable(reason)}' if reason else ''}", width, "  ")
    yield from columns([*map(_cells, found.changes)], width, indent="  ")


def _cells(change: Change) -> list[str]:
    row = change.row
    what = row.get("point") or row.get("event_type") or row.get("cmd_id")
    if change.old and change.new:
        changed = _changed_names(change.old, change.new)
        return [_SIGNS[change.kind], _whose(row), printable(str(what)), _changed(change.old, change.new, changed)]
    return [_SIGNS[change.kind], _whose(row), printable(str(what)), _value(row)]


def _whose(row: Row) -> str:
    return printable(f"{row['tenant']}/{row['site'] or '–'}/{row['device']}")


def _value(row: Row) -> str:
    if row["table"] != "ts_measure":
        return row.get("ts") or row.get("ts_exec") or "–"
    return f"{value_text(row)} {printable(row['unit'] or '')}".rstrip() + f"  {row['ts']}"


def _changed(old: Row, new: Row, names: list[str]) -> str:
    shown = []
    if {"v_num", "v_bool", "v_text"} & {*names}:
        shown.append(f"{value_text(old)} → {value_text(new)}")
    others = [name for name in names if not name.startswith("v_")]
    shown += [f"{name} {compact(old.get(name))} → {compact(new.get(name))}" for name in others]
    return ", ".join(shown)


def _summary(counts: Counter[str]) -> str:
    differing = counts["messages"] - counts["same"]
    if not counts["messages"]:
        return "no messages"
    if not differing:
        return f"{number(counts['messages'], 'message')}, no difference"
    rows = ", ".join(f"{counts[kind]} {kind}" for kind in (ADDED, REMOVED, DIFFERENT))
    return f"{number(counts['messages'], 'message')}, {differing} with a difference; rows: {rows}"
