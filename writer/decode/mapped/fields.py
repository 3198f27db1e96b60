"""`meta`, an event's `data` and an ACK's payload: JSON for a column of jsonb."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from traksense_ingest.shared.mapping.filled import is_of_topic
from traksense_ingest.shared.mapping.model import Fields, Literally, Source
from traksense_ingest.shared.mapping.text import Path, Root
from traksense_ingest.writer.decode.mapped.paths import compile_path
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope
from traksense_ingest.writer.decode.mapped.templates import compile_template
from traksense_ingest.writer.decode.schema import compact_json
from traksense_ingest.writer.outcome import Poison

Json = Callable[[Any, Scope], str | None]  # raises Poison

NUL_ESCAPED = r"\u0000"
DEPTH_MAX = 254  # arrays and objects in each other, as orjson writes them


def compile_fields(fields: Fields, where: str) -> Json | None:
    """An object with those of the fields that are there; None where none is. None instead of a function: never any."""
    find = compile_object(fields)
    if find is None:
        return None

    def json(record: Any, scope: Scope) -> str | None:
        found = find(record, scope)
        return as_json(found, where) if found else None

    return json


def compile_object(fields: Fields) -> Callable[[Any, Scope], dict[str, Any]] | None:
    """Those of the fields that are there, by name; None where there are no fields."""
    getters = tuple((name, compile_source(source)) for name, source in fields)
    if not getters:
        return None

    def find(record: Any, scope: Scope) -> dict[str, Any]:
        found = {}
        for name, get in getters:
            value = get(record, scope)
            if value is not MISSING and value is not None:
                found[name] = value
        return found

    return find


def compile_source(source: Source) -> Get:
    """A value; MISSING where a path leads nowhere and where a template has no text."""
    if isinstance(source, Path):
        return compile_path(source)
    if isinstance(source, Literally):
        literal = source.value
        return lambda _record, _scope: literal
    text_of = compile_template(source)

    def get(record: Any, scope: Scope) -> Any:
        text = text_of(record, scope)
        return text if type(text) is str else MISSING

    return get


def are_of_topic(fields: Fields, topic_captures: set[str]) -> bool:
    """Whether they are the same for all messages of a topic."""
    return all(_is_of_topic(source, topic_captures) for _, source in fields)


def _is_of_topic(source: Source, topic_captures: set[str]) -> bool:
    if isinstance(source, Literally):
        return True
    if isinstance(source, Path):
        return source.root is Root.CAPTURE and source.text[1:] in topic_captures
    return is_of_topic(source, topic_captures)


def as_json(value: Any, where: str) -> str:
    """Compact JSON; raises Poison for what jsonb can't hold: NUL, and integers or nesting beyond a library's limits."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair, or nested too deeply for orjson
        return _by_python(value, where)
    if NUL_ESCAPED in text:
        compact_json(value, where)
    return text


def _by_python(value: Any, where: str) -> str:
    if _is_deeper(value, DEPTH_MAX):
        raise Poison("parse_error", where, "is nested too deeply")
    try:
        text = compact_json(value, where)
        text.encode()
    except UnicodeEncodeError:
        raise Poison("parse_error", where, "has half a surrogate pair, which is not a valid character") from None
    except TypeError as error:
        raise Poison("parse_error", where, f"can't be stored as JSON: {error}") from None
    return text


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether arrays and objects are nested in more levels. How many json can take depends on the version of Python."""
    inside = [value]
    for _ in range(levels):
        inside = [item for each in inside for item in _items(each)]
    return any(isinstance(item, dict | list) for item in inside)


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
