"""Topic filters of MQTT, compared: which earlier one takes all topics of another, and which ones overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("below", "value")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.value: T | None = None


class Filters(Generic[T]):
    """Filters, each with something that belongs to it."""

    def __init__(self) -> None:
        self._top: _Node[T] = _Node()

    def add(self, name: str, value: T) -> None:
        """Add a filter; the first one of several that are the same is kept."""
        node = self._top
        for text in name.split("/"):
            node = node.below.setdefault(text, _Node())
        if node.value is None:
            node.value = value

    def covering(self, name: str) -> T | None:
        """What belongs to a filter that matches every topic of this one."""
        return next(_covering(self._top, name.split("/"), 0), None)

    def overlapping(self, name: str) -> T | None:
        """What belongs to a filter that matches some topic of this one."""
        return next(_overlapping(self._top, name.split("/"), 0), None)


def _covering(node: _Node[T], levels: Sequence[str], depth: int) -> Iterator[T]:
    wilds = depth > 0 or not levels[0].startswith("$")  # wildcards don't match a first level such as $aws
    if wilds and (rest := node.below.get("#")) is not None and rest.value is not None:
        yield rest.value
    if depth == len(levels):
        if node.value is not None:
            yield node.value
        return
    text = levels[depth]
    for name in dict.fromkeys((text, "+") if wilds and text != "#" else (text,)):
        if (below := node.below.get(name)) is not None:
            yield from _covering(below, levels, depth + 1)


def _overlapping(node: _Node[T], levels: Sequence[str], depth: int) -> Iterator[T]:
    rest = node.below.get("#")
    wilds = depth > 0 or not levels[0].startswith("$")
    if rest is not None and rest.value is not None and wilds:
        yield rest.value
    if depth == len(levels):
        if node.value is not None:
            yield node.value
        return
    text = levels[depth]
    if text == "#":
        yield from (found for found in _all(node, is_first=depth == 0))
        return
    for _, below in _fitting(node, text, wilds=wilds, is_first=depth == 0):
        yield from _overlapping(below, levels, depth + 1)


def _fitting(node: _Node[T], text: str, *, wilds: bool, is_first: bool) -> list[tuple[str, _Node[T]]]:
    """The levels below that match some text that this one matches; only a wildcard has to look at all of them."""
    if text != "+":
        names = (text, "+") if wilds else (text,)
        return [(name, node.below[name]) for name in names if name in node.below]
    hidden = "$" if is_first else ""
    return [
        (name, below) for name, below in node.below.items() if name != "#" and not (hidden and name.startswith(hidden))
    ]


def _all(node: _Node[T], *, is_first: bool) -> Iterator[T]:
    if node.value is not None:
        yield node.value
    for name, below in node.below.items():
        if not (is_first and name.startswith("$")):
            yield from _all(below, is_first=False)
