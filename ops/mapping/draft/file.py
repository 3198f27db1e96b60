"""A mapping file, drafted: its routes, and tests made of the messages themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traksense_ingest.ops.mapping.draft import yaml
from traksense_ingest.ops.mapping.draft.route import Drafted, lines
from traksense_ingest.ops.mapping.messages import rfc3339
from traksense_ingest.shared.mapping.expected import Message

_STICKY = ("tenant", "site", "device", "ts", "meta")


@dataclass(frozen=True, slots=True)
class Expected:
    """A message, and what the draft makes of it: rows, or the reason of a dead letter, or nothing."""

    name: str
    message: Message
    rows: Sequence[Mapping[str, Any]] | None
    poison: str | None = None
    is_ignored: bool = False


def file_name(topic: str, taken: Sequence[str]) -> str:
    """A mapping's name made of a topic's first level; none of those that are taken."""
    first = next((level for level in topic.split("/") if level.strip("{}+$")), "")
    name = re.sub(r"[^a-z0-9_-]+", "-", first.lower()).strip("-_")[:40] or "devices"
    return f"my-{name}" if name in taken else name


def written(name: str, routes: Sequence[Drafted], tests: Sequence[Expected]) -> str:
    """The whole file."""
    return "\n".join(_lines(name, routes, tests)) + "\n"


def _lines(name: str, routes: Sequence[Drafted], tests: Sequence[Expected]) -> Iterator[str]:
    yield "# Drafted by `traksense-ingest mapping new` from messages that came. The language: docs/mapping-language.md"
    yield "version: 1"
    yield f"name: {yaml.text(name)}"
    tenants = list(dict.fromkeys(route.tenant for route in routes))
    tenant = "{from: topic}" if "{tenant}" in tenants else yaml.text(tenants[0])
    is_guessed = any(route.is_tenant_guessed for route in routes)
    yield f"tenant: {tenant}" + ("  # whose readings these are: no message says it" if is_guessed else "")
    yield "\nroutes:"
    for route in routes:
        yield from lines(route, route.tenant if "{tenant}" in tenants and route.tenant != "{tenant}" else None)
    if tests:
        yield "\ntests:"
    for test in tests:
        yield from _test_lines(test)


def _test_lines(test: Expected) -> Iterator[str]:
    message = test.message
    yield f"  - name: {yaml.text(test.name)}"
    yield f"    topic: {yaml.text(message.topic)}"
    yield f"    received: {rfc3339(message.received)}"
    if message.retained:
        yield "    retained: true"
    yield from _payload_lines(message.payload)
    if test.poison is not None:
        yield f"    poison: {yaml.quoted(test.poison)}"
    elif test.is_ignored:
        yield "    ignored: true  # the broker has kept it, and it has no time of its own"
    elif not test.rows:
        yield "    rows: []"
    else:
        yield "    rows:"
        yield from (f"      - {yaml.flow(row)}" for row in _sparse(test.rows))


def _payload_lines(payload: bytes) -> Iterator[str]:
    try:
        yield f"    payload: {yaml.payload(payload.decode(), '      ')}"
    except UnicodeDecodeError:
        yield f"    payload_hex: {payload.hex()}"


def _sparse(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows without what is as in the row above, and without what is null."""
    before: dict[str, Any] = {}
    for row in rows:
        kept = {name: row.get(name) for name in _STICKY}
        found = {name: value for name, value in kept.items() if name not in before or value != before[name]}
        for name in ("site", "meta"):  # of a retained message without a time the site isn't stored
            if not before and found[name] is None:
                del found[name]
        yield found | {name: value for name, value in row.items() if name not in _STICKY and value is not None}
        before = kept
