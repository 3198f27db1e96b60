"""Paths, compiled: to the one value they lead to, or to several, each with what it captures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from traksense_ingest.shared.mapping.text import KEY, Each, Key, Over, Path, Root, Step
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope

Found = tuple[str, Any]  # the key or index of an item, as a string, and the item


def compile_path(path: Path) -> Get:
    """To one value."""
    if path.root is Root.CAPTURE:
        return _capture(path)
    if path.root is Root.ITEM:
        return _below(path.steps)
    return _from_root(path.root, _below(path.steps))


def _capture(path: Path) -> Get:
    (step,) = path.steps
    assert isinstance(step, Key)  # noqa: S101  (the loader's promise)
    name = step.name
    return lambda _item, scope: scope.captures.get(name, MISSING)


def _from_root(root: Root, get: Get) -> Get:
    if root is Root.MESSAGE:
        return lambda _item, scope: get(scope.message, scope)
    return lambda _item, scope: get(scope.record, scope)


def _below(steps: tuple[Step, ...]) -> Get:
    if not steps:
        return lambda item, _scope: item
    if len(steps) == 1 and isinstance(steps[0], Key):
        return _of_key(steps[0].name)
    if len(steps) == 2 and isinstance(steps[0], Key) and isinstance(steps[1], Key):
        return _of_two_keys(steps[0].name, steps[1].name)
    return _of_steps(steps)


def _of_key(name: str) -> Get:
    def get(item: Any, _scope: Scope) -> Any:
        return item.get(name, MISSING) if type(item) is dict else MISSING

    return get


def _of_two_keys(first: str, second: str) -> Get:
    def get(item: Any, _scope: Scope) -> Any:
        if type(item) is not dict:
            return MISSING
        inner = item.get(first)
        return inner.get(second, MISSING) if type(inner) is dict else MISSING

    return get


def _of_steps(steps: tuple[Step, ...]) -> Get:
    places = tuple(_place(step) for step in steps)

    def get(item: Any, _scope: Scope) -> Any:
        for place in places:
            if isinstance(place, str):
                if type(item) is not dict or (item := item.get(place, MISSING)) is MISSING:
                    return MISSING
            elif type(item) is list and -len(item) <= place < len(item):
                item = item[place]
            else:
                return MISSING
        return item

    return get


def _place(step: Step) -> str | int:
    if isinstance(step, Each):
        raise TypeError(f"{step} leads to several values")
    return step.name if isinstance(step, Key) else step.number


def key_of(path: Path) -> str | None:
    """The key of the item that a path is, if it is no more than that."""
    if path.root is Root.ITEM and len(path.steps) == 1 and isinstance(path.steps[0], Key):
        return path.steps[0].name
    return None


class Items:
    """A path to several values. Without a wildcard it is each item of the array, or key of the object, at its end."""

    def __init__(self, path: Path, keeps_key: bool = False) -> None:
        steps = path.steps if path.is_many else (*path.steps, Each(Over.ANY))
        first, *others = _split(steps)
        self.text = path.text
        self.start = compile_path(Path(path.text, path.root, first))  # what is before the first wildcard
        self._levels = tuple(_Level(part, keeps_key and part is others[-1]) for part in others)
        self.is_array = path.is_many and _is_array(others)  # what it goes through is the array itself

    def of(self, item: Any, scope: Scope) -> Iterator[Found]:
        """The items, with the key (or index) of the last wildcard. `scope.captures` has what it captures meanwhile."""
        return self._expand(self.start(item, scope), 0, scope)

    def _expand(self, value: Any, depth: int, scope: Scope) -> Iterator[Found]:
        level = self._levels[depth]
        is_last = depth + 1 == len(self._levels)
        for key, found in entries(value, level.over, scope):
            for name in level.captures:
                scope.captures[name] = key
            inner = level.after(found, scope)
            if not is_last:
                yield from self._expand(inner, depth + 1, scope)
            elif inner is not MISSING:
                yield key, inner


class _Level:
    """A wildcard, and what follows it up to the next one."""

    def __init__(self, steps: tuple[Step, ...], keeps_key: bool) -> None:
        each, *after = steps
        assert isinstance(each, Each)  # noqa: S101  (split there)
        self.over = each.over
        self.captures = tuple(name for name in (each.capture, KEY if keeps_key else None) if name)
        self.after = _below(tuple(after))


def entries(value: Any, over: Over, scope: Scope) -> Iterable[Found]:
    """What is in an array or an object, with its index or key; nothing where it is neither, or not the expected one."""
    if type(value) is list and over is not Over.KEYS:
        scope.visit(len(value))
        return ((str(index), item) for index, item in enumerate(value))
    if type(value) is dict and over is not Over.ITEMS:
        scope.visit(len(value))
        return value.items()
    return ()


def _split(steps: tuple[Step, ...]) -> list[tuple[Step, ...]]:
    """What is before the first wildcard, and each wildcard with what follows it."""
    parts: list[tuple[Step, ...]] = [()]
    for step in steps:
        parts = [*parts, (step,)] if isinstance(step, Each) else [*parts[:-1], (*parts[-1], step)]
    return parts


def _is_array(parts: list[tuple[Step, ...]]) -> bool:
    return parts == [(Each(Over.ITEMS),)]
