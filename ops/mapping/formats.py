"""The command `mapping formats`: the library that ships."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from traksense_ingest.ops.mapping.columns import columns, screen_width, wrapped
from traksense_ingest.ops.mapping.engine import Engine
from traksense_ingest.ops.mapping.library import Format, assignment, format_of, names
from traksense_ingest.ops.mapping.messages import message_dict
from traksense_ingest.ops.mapping.rows import rows_of, screen
from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.expected import Test
from traksense_ingest.shared.mapping.load import LIBRARY, load
from traksense_ingest.writer.outcome import Decoded

WIDE = 100  # columns of a terminal that shows topics too


def show_formats(*, as_json: bool) -> None:
    """All of them, a line each; what they need set is in the name's column."""
    found = [format_of(name) for name in names()]
    if as_json:
        for each in found:
            click.echo(json.dumps(as_dict(each), ensure_ascii=False))
        return
    width = screen_width()
    header, rows = ["name", "what it reads"], [[each.setting(), each.mapping.description] for each in found]
    if width is None or width >= WIDE:
        header, rows = [*header, "topics"], [[*row, _topics(each)] for row, each in zip(rows, found, strict=True)]
    click.echo("\n".join(columns(rows, width, header=header)))
    click.echo("\n".join(["", *wrapped(_how_to_use(), width)]))


def _topics(found: Format) -> str:
    """The first one; with NAME all are listed."""
    more = len(found.topics) - 1
    return f"{found.topics[0]}{f' and {more} more' if more > 0 else ''}" if found.topics else ""


def _how_to_use() -> str:
    show = "traksense-ingest mapping formats NAME"
    return f"INGEST_MAPPINGS takes these names, separated by commas. To show one of them: {show}"


def as_dict(found: Format) -> dict[str, Any]:
    """For JSON."""
    return {
        "name": found.name,
        "description": found.mapping.description,
        "variables": dict(found.vars),
        "topics": found.topics,
        "file": str(LIBRARY / f"{found.name}.yaml"),
    }


def show_format(name: str, *, as_json: bool) -> None:
    """One of them, with a message of its tests and its rows."""
    found, settings = format_of(name), config.load()
    test = example_of(found)
    decoded = _decoded(found, test, settings) if test else None
    if as_json:
        example = message_dict(test.message) | {"rows": rows_of(decoded)} if test and decoded else None
        click.echo(json.dumps(as_dict(found) | {"example": example}, ensure_ascii=False))
        return
    width = screen_width()
    click.echo("\n".join(_described(found, width)))
    if test and decoded:
        click.echo("\n".join(_example(test, decoded, width)))


def example_of(found: Format) -> Test | None:
    """Its first test that has rows."""
    tests = found.mapping.tests
    with_rows = [test for test in tests if test.rows]
    others = [test for test in tests if test.poison is None and not test.ignored]
    return next(iter([*with_rows, *others]), None)


def _decoded(found: Format, test: Test, settings: Settings) -> Decoded | None:
    engine = Engine(load(found.setting(dict(found.mapping.vars))), settings)
    for message in test.before:
        engine.decode(message)
    outcome = engine.decode(test.message)
    return outcome if isinstance(outcome, Decoded) else None


def _described(found: Format, width: int | None) -> Iterator[str]:
    yield from wrapped(f"{found.name}: {found.mapping.description}", width)
    yield ""
    if found.vars:
        yield "variables"
        rows = [[name, "must be set" if value is None else f"default {value!r}"] for name, value in found.vars.items()]
        yield from columns(rows, width, indent="  ")
    yield "topics"
    yield from (f"  {printable(topic)}" for topic in found.topics)
    yield "use"
    yield f"  {assignment(found.setting())}"
    yield ""


def _example(test: Test, decoded: Decoded, width: int | None) -> Iterator[str]:
    yield from wrapped(f"example: {test.name}", width)
    yield f"  {printable(test.message.topic)}"
    try:
        rows = test.message.payload.decode().splitlines()
    except UnicodeDecodeError:
        rows = [f"hex {test.message.payload.hex()}"]
    yield from (f"  {printable(row)}" for row in rows)
    yield "becomes"
    yield from screen(rows_of(decoded), width)


def copy_format(name: str, copy: Path) -> None:
    """Write its file, to be edited. Raises ConfigurationError if the file exists."""
    found = format_of(name)
    write_new(copy, (LIBRARY / f"{found.name}.yaml").read_bytes(), "--copy")
    use = assignment(f"{shown_path(copy)}{_query(found)}")
    click.echo(f"{copy}: a copy of {name}; use it instead: {use}")


def _query(found: Format) -> str:
    return found.setting().removeprefix(found.name)


def require_new(path: Path, option: str) -> None:
    """Raise ConfigurationError if a file can't be new there."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option}={path}: {os.strerror(errno.ENOENT)}")
    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"{option}={path}: {os.strerror(errno.EEXIST)}")


def write_new(path: Path, content: bytes, option: str) -> None:
    """Write a file that doesn't exist yet; raises ConfigurationError."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigurationError(f"{option}={path}: {error.strerror}") from None


def shown_path(path: Path) -> str:
    """A path as INGEST_MAPPINGS takes it: one without a slash would be a name of the library."""
    text = str(path)
    return text if "/" in text else f"./{text}"
