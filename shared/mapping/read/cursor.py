"""Reading nodes. Each accessor gives a value of the expected type; where the file has none it notes the error and gives
a harmless value, so that one error hides no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from traksense_ingest.shared.mapping.faults import Fault, did_you_mean, listed, quoted
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.shared.mapping.read.nodes import Entries, Items, Leaf, Node
from traksense_ingest.shared.mapping.text import Scalar

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
D = TypeVar("D")

FAULT_MAX = 500  # characters of what is wrong

_TIME = "a date or a timestamp with Z or an offset, such as 2026-01-31T12:00:00Z"
_DECIMAL = re.compile(r"[-+]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,2})?|[-+]?\.[0-9]{1,30}", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9})(us|ms|s|m|h)", re.ASCII)
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


class Reader:
    """A file that is being read, and its errors so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: dict[Fault, None] = {}  # each once: `defaults` are read for each route

    def place(self, node: Node) -> Place:
        """Where a node stands."""
        return Place(self.file, node.line, node.column)

    def fault(self, node: Node, where: str, what: str) -> None:
        """Note what is wrong with a node."""
        short = what if len(what) <= FAULT_MAX else f"{what[: FAULT_MAX - 1]}…"
        self.faults[Fault(self.place(node), where, short)] = None


class Cursor:
    """A node, and the way to it."""

    __slots__ = ("node", "reader", "where")

    def __init__(self, reader: Reader, node: Node, where: str = "") -> None:
        self.reader = reader
        self.node = node
        self.where = where

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.reader.place(self.node)

    def fault(self, what: str) -> None:
        """Note what is wrong here."""
        self.reader.fault(self.node, self.where, what)

    def expected(self, what: str) -> None:
        """Note that something else is expected here."""
        self.fault(f"expected {what}, found {self.shown}{self._hint()}")

    @property
    def shown(self) -> str:
        """What is here, in short."""
        match self.node:
            case Leaf(value=None):
                return "null"
            case Leaf(text=text):
                return quoted(text)
            case Items():
                return "a list"
            case _:
                return "an object"

    def _hint(self) -> str:
        match self.node:
            case Entries(entries=((Leaf(text=name), Leaf(value=None)),)):
                return f'; quote a string that begins with a brace: "{{{quoted(name)}}}"'
            case _:
                return ""

    @property
    def written(self) -> str:
        """A scalar as it stands in the file: a key that reads null is the string null."""
        return self.node.text if isinstance(self.node, Leaf) else ""

    @property
    def is_text(self) -> bool:
        """Whether it is a string, not a number, true, false or null."""
        return isinstance(self.node, Leaf) and isinstance(self.node.value, str)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, Items)

    @property
    def is_object(self) -> bool:
        """Whether it has keys."""
        return isinstance(self.node, Entries)

    def scalar(self) -> Scalar:
        """A string, a number, true, false or null."""
        if isinstance(self.node, Leaf):
            return self.node.value
        self.expected("a string, a number, true, false or null")
        return None

    def text(self, what: str = "a string") -> str:
        """A string; a number, true and false as they are written."""
        if isinstance(self.node, Leaf) and self.node.value is not None:
            return self.node.text
        self.expected(what)
        return ""

    def matching(self, pattern: re.Pattern[str], what: str) -> str:
        """A string of this form."""
        text = self.text(what)
        if text and pattern.fullmatch(text) is None:
            self.expected(what)
        return text

    def flag(self) -> bool:
        """True or false."""
        if isinstance(self.node, Leaf) and isinstance(self.node.value, bool):
            return self.node.value
        self.expected("true or false")
        return False

    def integer(self, least: int, most: int) -> int:
        """A whole number in a range."""
        value = self.node.value if isinstance(self.node, Leaf) else None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.expected(f"a whole number from {least} to {most}")
        return least

    def decimal(self) -> Decimal:
        """A number, exactly as it is written."""
        if isinstance(self.node, Leaf) and _DECIMAL.fullmatch(self.node.text):
            return Decimal(self.node.text)
        self.expected("a number")
        return Decimal(1)

    def microseconds(self) -> int:
        """A duration such as 1s."""
        match = _DURATION.fullmatch(self.node.text) if isinstance(self.node, Leaf) else None
        if match and int(match[1]):
            return int(match[1]) * _MICROSECONDS[match[2]]
        self.expected("a duration such as 500ms, 1s, 5m or 1h")
        return 0

    def time(self) -> datetime:
        """An RFC 3339 timestamp, or a date: its beginning in UTC."""
        text = self.text(_TIME)
        try:
            found = datetime.fromisoformat(text)
            if len(text) == len("2026-01-31"):
                return found.replace(tzinfo=UTC)
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        if text:
            self.expected(_TIME)
        return datetime(2000, 1, 1, tzinfo=UTC)

    def choice(self, allowed: type[E]) -> E:
        """One of an enumeration's values."""
        return allowed(self.one_of([member.value for member in allowed]))

    def one_of(self, allowed: Iterable[str]) -> str:
        """One of these strings; the first of them if it is none."""
        names = list(allowed)
        if isinstance(self.node, Leaf) and self.written in names:  # `null` too
            return self.written
        if text := self.text(listed(names)):
            self.fault(f"{quoted(text)} is not allowed; allowed: {listed(names)}{did_you_mean(text, names)}")
        return names[0]

    def items(self, what: str = "a list") -> list[Cursor]:
        """The items of a list."""
        if isinstance(self.node, Items):
            return [Cursor(self.reader, node, f"{self.where}[{index}]") for index, node in enumerate(self.node.items)]
        self.expected(what)
        return []

    def one_or_more(self) -> list[Cursor]:
        """The items of a list; what is no list is the only one."""
        return self.items() if isinstance(self.node, Items) else [self]

    def table(self, what: str = "an object") -> list[tuple[Cursor, Cursor]]:
        """Keys and values, where the keys are the file's own."""
        if isinstance(self.node, Entries):
            return [(Cursor(self.reader, key, self.where), self._below(key, node)) for key, node in self.node.entries]
        self.expected(what)
        return []

    def keys(self, *allowed: str, what: str = "an object") -> Keys:
        """What is under the keys of the language; others are errors."""
        found = {}
        for key, value in self.table(what):
            name = key.written
            if name in allowed:
                found[name] = value
            else:
                key.fault(_unknown(name, allowed))
        return Keys(self, found)

    def _below(self, key: Leaf, node: Node) -> Cursor:
        name = key.text if key.text.replace("_", "").replace("-", "").isalnum() else f'"{quoted(key.text)}"'
        return Cursor(self.reader, node, f"{self.where}.{name}" if self.where else name)


class Keys:
    """An object of the file, its values by their keys."""

    __slots__ = ("at", "found")

    def __init__(self, at: Cursor, found: Mapping[str, Cursor]) -> None:
        self.at = at
        self.found = found

    def __contains__(self, key: str) -> bool:
        return key in self.found

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def get(self, key: str) -> Cursor | None:
        """What is under a key, if it is there."""
        return self.found.get(key)

    def read(self, key: str, read: Callable[[Cursor], T], default: D) -> T | D:
        """What is under a key, read; the default where it isn't there."""
        at = self.found.get(key)
        return default if at is None else read(at)

    def required(self, key: str, what: str) -> Cursor | None:
        """What is under a key; its absence is an error, which says what it should be."""
        if key not in self.found:
            self.at.reader.fault(self.at.node, self._path(key), f"missing: {what}")
        return self.found.get(key)

    def only_one(self, *allowed: str) -> str | None:
        """Which of these keys is there; it is an error if there is none or more than one."""
        found = [key for key in allowed if key in self.found]
        if not found:
            self.at.fault(f"one of {listed(allowed)} is missing")
        for other in found[1:]:
            self.found[other].fault(f"not together with {found[0]}")
        return found[0] if found else None

    def _path(self, key: str) -> str:
        return f"{self.at.where}.{key}" if self.at.where else key


def _unknown(name: str, allowed: tuple[str, ...]) -> str:
    before, colon, _ = name.partition(":")
    if colon and before in allowed:
        return f"unknown key {quoted(name)}; a space after the colon is missing"
    return f"unknown key {quoted(name)}; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}"
