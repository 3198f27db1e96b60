"""The command `mapping new`."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from traksense_ingest.ops.mapping.columns import screen_width, wrapped
from traksense_ingest.ops.mapping.draft.draft import Draft, Sorted, draft_of, sorted_by_reader
from traksense_ingest.ops.mapping.draft.rejected import rejected
from traksense_ingest.ops.mapping.engine import Engine
from traksense_ingest.ops.mapping.formats import require_new, shown_path, write_new
from traksense_ingest.ops.mapping.library import Format, assignment, everything
from traksense_ingest.ops.mapping.sources import Source
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.messages import NAME_MAX

ENOUGH, ENOUGH_BYTES = 2000, 16 * 1024 * 1024  # messages to draft from
BUILT_IN = "v1"


def draft(source: Source, tenant: str | None, name: str | None, output: Path | None, *, as_json: bool) -> None:
    """The command. What to do next is on stderr, so that stdout is the file. Raises IngestError if nothing came."""
    _check(tenant, name)
    if output:
        require_new(output, "--output")
    settings = config.load()
    messages = asyncio.run(_collected(source, settings))
    if not messages:
        raise IngestError("no message came: is the topic filter right, and does the device send now?")
    drafting = drafting_from(messages, tenant, name, settings)
    found, made = drafting.found, drafting.made
    if made and output:
        write_new(output, made.text.encode(), "--output")
    if as_json:
        click.echo(json.dumps(_as_dict(drafting, tenant), ensure_ascii=False))
        return
    if made and not output:
        click.echo(made.text, nl=False)
    said = [*facts(drafting, tenant), outcome(found, made, output)]
    click.echo("\n".join(line for text in said for line in wrapped(text, screen_width())), err=True)
    if made:
        click.echo("\n".join(_next_steps(made, output, settings)), err=True)


class Drafting(NamedTuple):
    """The result of messages."""

    found: Sorted
    made: Draft | None  # None: nothing is left to draft from
    library: dict[str, Format]


def drafting_from(messages: Sequence[Message], tenant: str | None, name: str | None, settings: Settings) -> Drafting:
    """A draft from those that the library doesn't read. Raises IngestError."""
    mappings, library = everything(tenant)
    found = sorted_by_reader(messages, Engine(mappings, settings))
    made = draft_of(found.samples, tenant, name, list(library)).draft(settings) if found.samples else None
    return Drafting(found, made, library)


def _check(tenant: str | None, name: str | None) -> None:
    if tenant is not None and not (1 <= len(tenant) <= NAME_MAX and tenant.isprintable() and not set(tenant) & {*"{}"}):
        raise click.UsageError(f"--tenant: {tenant!r} can't be a tenant's name: 1 to {NAME_MAX} characters, no braces")
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise click.UsageError(f"--name: {name!r} should be of lower case letters, digits, - and _")


async def _collected(source: Source, settings: Settings) -> list[Message]:
    found: list[Message] = []
    size = 0
    async for message in source.messages(settings, ()):
        found.append(message)
        size += len(message.payload)
        if len(found) >= ENOUGH or size >= ENOUGH_BYTES:
            break
    return found


def _as_dict(drafting: Drafting, tenant: str | None) -> dict[str, Any]:
    found, made, library = drafting
    return {
        "known": [
            {"mapping": name, "setting": _setting(name, library, tenant), "messages": count}
            for name, count in found.known.most_common()
        ],
        "unreadable": [{"topic": topic, "messages": count} for topic, count in found.unreadable.most_common()],
        "draft": None
        if made is None
        else {
            "name": made.name,
            "messages": len(found.samples),
            "routes": [route.name for route in made.mapping.routes],
            "tests": len(made.mapping.tests),
            "file": made.text,
        },
    }


def _setting(name: str, library: dict[str, Format], tenant: str | None) -> str | None:
    return library[name].setting({"tenant": tenant} if tenant else {}) if name in library else None


def outcome(found: Sorted, made: Draft | None, output: Path | None = None) -> str:
    """What was drafted, in a line."""
    if made is None:
        return "nothing to draft from" + (": no file was written" if output else "")
    routes, tests = len(made.mapping.routes), len(made.mapping.tests)
    counts = f"{number(routes, 'route')} and {number(tests, 'test')}, which {'passes' if tests == 1 else 'pass'}"
    into = f"{output}: " if output else ""
    return f"{into}drafted from {number(len(found.samples), 'message')}: {counts}"


def facts(drafting: Drafting, tenant: str | None) -> Iterator[str]:
    """What is not in the draft, and why; a paragraph each."""
    found, library = drafting.found, drafting.library
    for name, count in found.known.most_common():
        setting = _setting(name, library, tenant)
        how = assignment(setting) if setting else "no mapping is needed"
        if setting and (needed := [each for each in library[name].needed if each != "tenant" or not tenant]):
            how += f" with your {' and '.join(needed)} in place of the …"
        yield f"{number(count, 'message')} of {sum_of(found)}: this is what `{name}` reads; {how}"
    for topic, count in found.unreadable.most_common(5):
        yield (
            f"{number(count, 'message')} on {printable(topic)}: no JSON and no text; "
            "docs/formats.md has the other formats, as `decode: {binary: …}`"
        )
    if found.empty:
        yield f"{number(found.empty, 'message')} without a payload: nothing to read"


def sum_of(found: Sorted) -> int:
    """All messages that came."""
    return found.known.total() + found.unreadable.total() + found.empty + len(found.samples)


def _next_steps(made: Draft, output: Path | None, settings: Settings) -> Iterator[str]:
    """Commands as a shell takes them."""
    path = shown_path(output or Path(f"{made.name}.yaml"))
    yield "" if output else f"save it as {path}, then"
    yield "  # read the comments in it, then"
    yield f"  traksense-ingest mapping lint {shlex.quote(path)}"
    yield f"  traksense-ingest mapping try {shlex.quote(path)} --live 30s"
    yield "  # use it: restart receivers and writers with"
    yield f"  export {assignment(_with(path, settings.ingest_mappings))}"
    for reason, count in asyncio.run(rejected(made.mapping, settings)):
        yield f"  # {number(count, 'message')} on these topics {'was' if count == 1 else 'were'} rejected before"
        yield f"  traksense-ingest dlq replay --reason {reason} --dry-run"


def _with(path: str, used: str) -> str:
    """What is used already, and the file, unless that is among it or in one of its folders."""
    file = Path(path).absolute()
    own = {Path(part.strip().partition("?")[0]).absolute() for part in used.split(",") if part.strip()}
    return used if own & {file, file.parent} else ",".join(filter(None, (used, path)))
