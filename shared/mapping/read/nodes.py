"""YAML → nodes that know where they stand: YAML 1.2's core schema, without anchors, aliases, tags and merge keys.

PyYAML parses (docs/decisions/0014-yaml.md); what its events mean is here, since its own constructors follow YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import yaml

from traksense_ingest.shared.mapping.text import Scalar

DEPTH_MAX = 64
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})", re.ASCII)
_OTHER_BASE = re.compile(r"0x[0-9a-fA-F]{1,16}|0o[0-7]{1,22}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Node:
    """Where a value begins; line and column from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Leaf(Node):
    """A scalar: its value, and its text as it stands in the file."""

    value: Scalar
    text: str
    is_plain: bool = True  # not quoted


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries(Node):
    """A mapping of YAML; no key is in it twice."""

    entries: tuple[tuple[Leaf, Node], ...]


class Invalid(Exception):
    """A file that is not valid YAML, or not of the allowed kind, so that nothing more can be said about it."""

    def __init__(self, line: int, column: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.column = column


OnFault = Callable[[Node, str], None]


def compose(text: str, fault: OnFault) -> Node:
    """The document's node; raises Invalid. A duplicate key is an error, and the first one is kept."""
    try:
        return _Composer(text, fault).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Invalid(line, column, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line = before.count("\n") + 1
        raise Invalid(line, len(before) - before.rfind("\n"), f"not valid YAML: {error.reason}") from None
    except yaml.YAMLError as error:
        raise Invalid(1, 1, f"not valid YAML: {error}") from None


def resolve(text: str) -> Scalar:
    """What a plain scalar is in the core schema. `ON`, `12:30`, `0777` and `1_000` are strings."""
    if text in _WORDS:
        return _WORDS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and isfinite(number := float(text)):
        return number
    return text


class _Composer:
    def __init__(self, text: str, fault: OnFault) -> None:
        self._next: Callable[[], Any] = _LOADER(text).get_event
        self._fault = fault

    def document(self) -> Node:
        self._next()  # the stream starts
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise Invalid(1, 1, "empty: at least version, name and routes are needed")
        node = self._node(self._next(), 1)
        self._next()  # the document ends
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise Invalid(*_place(after), "a second document; only one is allowed")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise Invalid(line, column, "anchors and aliases (& and *) are not allowed; quote a string that begins so")
        if event.tag is not None and not (event.tag == "!" and isinstance(event, yaml.ScalarEvent)):
            raise Invalid(line, column, f"tags ({event.tag}) are not allowed; quote a string that begins with !")
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0]
            return Leaf(line, column, resolve(event.value) if is_plain else event.value, event.value, is_plain)
        if depth > DEPTH_MAX:
            raise Invalid(line, column, f"nested more than {DEPTH_MAX} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(line, column, tuple(self._items(depth)))
        return Entries(line, column, self._entries(depth))

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> tuple[tuple[Leaf, Node], ...]:
        found: dict[tuple[type, Scalar], tuple[Leaf, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, node = self._node(event, depth + 1), self._node(self._next(), depth + 1)
            if not isinstance(key, Leaf):
                self._fault(key, 'a key must be a string; quote one that begins with { or [: "{name}"')
            elif key.text == "<<":
                self._fault(key, "merge keys (<<) are not allowed")
            elif (first := found.setdefault((type(key.value), key.value), (key, node)))[1] is not node:
                self._fault(key, f"duplicate key {key.text}, first used in line {first[0].line}")
        return tuple(found.values())


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
