"""A topic → the routes that may take its messages, with what it captures. The cost is the topic's, not the routes'."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.shared.mapping.text import Capture, Level, TopicPattern, variants

_ORDER = attrgetter("position", "nth")


class Candidate(NamedTuple):
    """A route whose topics a topic matches."""

    position: int  # of the route among all
    route: Route
    captures: dict[str, str]


class _Target(NamedTuple):
    """Where a pattern ends in the tree."""

    position: int  # of the route
    nth: int  # of its topics
    pattern: TopicPattern
    chosen: Mapping[str, str]
    whole: tuple[tuple[str, int], ...]  # captures of a whole level each, by its index
    mixed: tuple[tuple[Level, int], ...]  # levels such as {app}@{org}
    depth: int  # levels before those that `rest` takes


class _Node:
    """What patterns have in common up to a level."""

    __slots__ = ("any", "ends", "literals", "mixed", "plus", "prefixes", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any: _Node | None = None  # {x}: not empty
        self.plus: _Node | None = None  # +
        self.prefixes: list[int] = []  # lengths of the keys of `mixed`, ascending
        self.mixed: dict[str, dict[Level, _Node]] = {}  # levels such as {app}@{org}, by the text that they begin with
        self.ends: list[_Target] = []
        self.rest: list[_Target] = []  # `#`, {x...}

    def below(self, level: Level) -> _Node:
        """The node for a level, made where there is none."""
        if level.literal is not None:
            return self.literals.setdefault(level.literal, _Node())
        match level.parts:
            case (Capture(name=None),):
                self.plus = self.plus or _Node()
                return self.plus
            case (Capture(),):
                self.any = self.any or _Node()
                return self.any
            case (str(prefix), *_):
                return self._mixed(prefix, level)
            case _:
                return self._mixed("", level)

    def _mixed(self, prefix: str, level: Level) -> _Node:
        if len(prefix) not in self.prefixes:
            insort(self.prefixes, len(prefix))
        shape = Level(tuple(part if isinstance(part, str) else Capture(None) for part in level.parts))
        return self.mixed.setdefault(prefix, {}).setdefault(shape, _Node())

    def matching(self, text: str, is_first: bool) -> Iterator[_Node]:
        """The nodes below that a topic's level leads to."""
        if (node := self.literals.get(text)) is not None:
            yield node
        if is_first and text.startswith("$"):
            return
        if self.any is not None and text:
            yield self.any
        if self.plus is not None:
            yield self.plus
        for length in self.prefixes:
            if length > len(text):
                break
            for shape, node in self.mixed.get(text[:length], {}).items():
                if split(shape, text) is not None:
                    yield node


class Router:
    """Finds the candidates of a topic, in the order of the routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._top = _Node()
        self.steps = 0  # nodes that were visited, for tests
        self._excepted = {
            index: _tree(route.except_topics) for index, route in enumerate(routes) if route.except_topics
        }
        for index, route in enumerate(routes):
            _insert(self._top, index, route.topics)

    def candidates(self, topic: bytes) -> list[Candidate]:
        """The candidates of a topic; none for one that is not UTF-8."""
        try:
            levels = topic.decode().split("/")
        except UnicodeDecodeError:
            return []
        found: list[Candidate] = []
        last, captures = -1, dict[str, str]()
        for target in sorted(self._targets(self._top, levels), key=_ORDER):
            position = target.position
            if position == last:  # its first topic that matches is taken
                continue
            last = position
            if position in self._excepted and any(self._targets(self._excepted[position], levels)):
                continue
            if (others := captured(target, levels)) != captures:
                captures = others  # else one object for all: this takes memory for each topic that is remembered
            found.append(Candidate(position, self._routes[position], captures))
        return found

    def _targets(self, top: _Node, levels: Sequence[str]) -> Iterator[_Target]:
        due = [(top, 0)]
        while due:
            node, depth = due.pop()
            self.steps += 1
            is_hidden = depth == 0 and levels[0].startswith("$")
            if node.rest and not is_hidden:
                yield from (
                    node.rest if any(levels[depth:]) else (target for target in node.rest if _takes_nothing(target))
                )
            if depth == len(levels):
                yield from node.ends
            else:
                due += [(below, depth + 1) for below in node.matching(levels[depth], depth == 0)]


def _tree(patterns: Sequence[TopicPattern]) -> _Node:
    top = _Node()
    _insert(top, 0, patterns)
    return top


def _insert(top: _Node, position: int, patterns: Sequence[TopicPattern]) -> None:
    for nth, pattern in enumerate(patterns):
        for levels, chosen in variants(pattern):
            node = top
            for level in levels:
                node = node.below(level)
            (node.rest if pattern.rest else node.ends).append(_target(position, nth, pattern, levels, chosen))


def _target(
    position: int, nth: int, pattern: TopicPattern, levels: tuple[Level, ...], chosen: Mapping[str, str]
) -> _Target:
    whole, mixed = [], []
    for index, level in enumerate(levels):
        match level.parts:
            case (Capture(name=name),):
                whole += [(name, index)] if name else []
            case (_, _, *_):
                mixed.append((level, index))
    return _Target(position, nth, pattern, chosen, tuple(whole), tuple(mixed), len(levels))


def _takes_nothing(target: _Target) -> bool:
    """Whether it ends in `#`; what `{x...}` captures is not empty."""
    return target.pattern.rest is not None and target.pattern.rest.name is None


def captured(target: _Target, levels: Sequence[str]) -> dict[str, str]:
    """What a topic's levels hold under the names of the pattern that they match."""
    found = dict(target.chosen)
    for name, index in target.whole:
        found[name] = levels[index]
    for level, index in target.mixed:
        names = [part.name for part in level.parts if isinstance(part, Capture)]
        values = split(level, levels[index]) or ()
        found.update((name, value) for name, value in zip(names, values, strict=False) if name)
    if target.pattern.rest and target.pattern.rest.name:
        found[target.pattern.rest.name] = "/".join(levels[target.depth :])
    return found


def split(level: Level, text: str) -> tuple[str, ...] | None:
    """What the captures of a level hold, or None where it doesn't match. None is empty, and each is as short as it can
    be: the first place of the text between two of them is right if any is, so the time is proportional to the text."""
    parts = level.parts
    prefix = parts[0] if isinstance(parts[0], str) else ""
    suffix = parts[-1] if isinstance(parts[-1], str) else ""
    start, stop = len(prefix), len(text) - len(suffix)
    if not (start < stop and text.startswith(prefix) and text.endswith(suffix)):
        return None
    values = []
    for between in parts[1:-1]:
        if isinstance(between, str):
            end = text.find(between, start + 1, stop)
            if end < 0:
                return None
            values.append(text[start:end])
            start = end + len(between)
    if start >= stop:
        return None
    return *values, text[start:stop]
