"""Topic filters of MQTT that others cover. MQTT 5 delivers a message once for each filter that it matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class _Level:
    """The filters that begin in one way."""

    __slots__ = ("below", "is_end")

    def __init__(self) -> None:
        self.below: dict[str, _Level] = {}
        self.is_end = False


def uncovered(filters: Iterable[str]) -> list[str]:
    """The filters in order, each once, and none that another one of them covers: all that it matches matches the other.

    The work for each is that of its own levels, however many there are.
    """
    found = list(dict.fromkeys(filters))
    top = _Level()
    for name in found:
        level = top
        for text in name.split("/"):
            level = level.below.setdefault(text, _Level())
        level.is_end = True
    return [name for name in found if not _is_covered(top, name.split("/"))]


def _is_covered(top: _Level, levels: Sequence[str]) -> bool:
    """Whether a filter in the tree, but not the same one, matches all that these levels match."""
    is_plain = not levels[0].startswith("$")  # wildcards don't match topics that begin with $
    at = {(id(top), False): (top, False)}  # where the tree's filters are, and whether they are wider by now
    for index, text in enumerate(levels):
        wilds = is_plain or index > 0
        following: dict[tuple[int, bool], tuple[_Level, bool]] = {}
        for level, is_wider in at.values():
            if wilds and "#" in level.below and (is_wider or text != "#"):
                return True
            for name in (text, "+") if wilds and text not in ("+", "#") else (text,):
                if (child := level.below.get(name)) is not None:
                    wider = is_wider or name != text
                    following[id(child), wider] = child, wider
        at = following
    return any(_matches_the_end(level, is_wider, levels[-1]) for level, is_wider in at.values())


def _matches_the_end(level: _Level, is_wider: bool, last: str) -> bool:
    """`a/#` matches `a` too."""
    return (level.is_end and is_wider) or (last != "#" and "#" in level.below)
