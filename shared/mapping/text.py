"""The small languages inside a mapping's strings, parsed: paths into a payload, templates, topics with captures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

Scalar = None | bool | int | float | str
KEY, LEAF = "key", "leaf"  # captures that `each` and `leaves` make


class Root(StrEnum):
    """What a path starts from."""

    ITEM = "."  # what is nearest: the item inside `each` and `zip`, else the record
    RECORD = "^"  # the record, from inside an item; the message where there are no `records`
    MESSAGE = "$"  # the whole payload, decoded
    CAPTURE = "@"  # a name that the topic, `records` or `each` captured: the only step is a Key with that name


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an object."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """An item of an array, from 0; from the end where it is negative."""

    number: int


class Over(StrEnum):
    """What a step goes through."""

    ITEMS = "[*]"  # of an array only
    KEYS = "{}"  # of an object only
    ANY = "*"  # of either: what `each` of a path without wildcards means


@dataclass(frozen=True, slots=True)
class Each:
    """Every item or key. `capture` is the name that gets the key (or index); the last one in a path is also `key`."""

    over: Over
    capture: str | None = None


Step = Key | Index | Each


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value is. Without steps it is the root itself."""

    text: str  # as written
    root: Root
    steps: tuple[Step, ...]

    @property
    def is_many(self) -> bool:
        """Whether it leads to several values."""
        return any(isinstance(step, Each) for step in self.steps)

    @property
    def captures(self) -> tuple[str, ...]:
        """The names that it captures, in order."""
        return tuple(step.capture for step in self.steps if isinstance(step, Each) and step.capture)


class FilterName(StrEnum):
    """What can be done to a value in a template; `argument` is the text after the colon."""

    LOWER = "lower"
    UPPER = "upper"
    NOSEP = "nosep"  # without : - . _ and spaces
    TRIM = "trim"  # these characters from both ends; without an argument white space
    LAST = "last"  # what is after the last of this separator; all of it where there is none
    FIRST = "first"  # what is before the first of it
    DEFAULT = "default"  # this string where the value is missing, null or empty
    OR = "or"  # the value of `Filter.path` where it is missing, null or empty


@dataclass(frozen=True, slots=True)
class Filter:
    """One `|name:argument` of a template."""

    name: FilterName
    argument: str = ""
    path: Path | None = None  # of `or`


@dataclass(frozen=True, slots=True)
class Reference:
    """`{…}` in a template: a path (a capture is one with Root.CAPTURE), and what is done to its value."""

    path: Path
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A string with references; a plain one is a template without any."""

    text: str  # as written
    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Those parts that are none of its literal text."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of its references, and of their filters `or`."""
        return tuple(
            path
            for reference in self.references
            for path in (reference.path, *(each.path for each in reference.filters))
            if path is not None
        )

    @property
    def literal(self) -> str | None:
        """Its text, where it has no references."""
        return None if self.references else "".join(str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of points: some exactly, some with `*` for any characters. Without any it matches nothing."""

    exact: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.exact or self.globs)


@dataclass(frozen=True, slots=True)
class Capture:
    """Part of a topic's level: any text but an empty one, or one of `choices`. Nameless for `+`, which may be empty."""

    name: str | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a topic filter: literal text and captures in turn; one literal part if it is plain."""

    parts: tuple[str | Capture, ...]

    @property
    def literal(self) -> str | None:
        """Its text, where it captures nothing."""
        return str(self.parts[0]) if len(self.parts) == 1 and isinstance(self.parts[0], str) else None


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """An entry of `topics`. `filters` are what MQTT subscribes to: all of them together are never narrower."""

    text: str  # as written
    levels: tuple[Level, ...]
    rest: Capture | None = None  # of the levels after these: `{x...}` (one at least), or nameless for `#` (none too)
    filters: tuple[str, ...] = ()

    @property
    def captures(self) -> tuple[str, ...]:
        """The names that it captures, in order."""
        parts = [part for level in self.levels for part in level.parts if isinstance(part, Capture)]
        return tuple(part.name for part in (*parts, *([self.rest] if self.rest else [])) if part.name)


def variants(pattern: TopicPattern) -> Iterator[tuple[tuple[Level, ...], dict[str, str]]]:
    """The levels with each combination of choices put in, and what those captured."""
    captures = [part for level in pattern.levels for part in level.parts if isinstance(part, Capture) and part.choices]
    for chosen in product(*(capture.choices for capture in captures)):
        texts = iter(chosen)
        levels = tuple(_with_choices(level, texts) for level in pattern.levels)
        yield levels, {capture.name: text for capture, text in zip(captures, chosen, strict=True) if capture.name}


def _with_choices(level: Level, texts: Iterator[str]) -> Level:
    parts: list[str | Capture] = []
    for part in level.parts:
        chosen = next(texts) if isinstance(part, Capture) and part.choices else part
        if isinstance(chosen, str) and parts and isinstance(parts[-1], str):
            parts[-1] += chosen
        else:
            parts.append(chosen)
    return Level(tuple(parts))
