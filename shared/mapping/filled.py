"""Templates of a topic's captures, filled in: what both sides need, the receiver for the shard and the writer too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from traksense_ingest.shared.mapping.text import Filter, FilterName, Reference, Root, Template

_SEPARATORS = str.maketrans("", "", ":-._ ")


def filled(template: Template, captures: Mapping[str, str]) -> str:
    """A template whose references are all captures."""
    return "".join(part if isinstance(part, str) else _value(part, captures) for part in template.parts)


def is_of_topic(template: Template, captured: Collection[str]) -> bool:
    """Whether these captures of a topic alone decide it."""
    return all(path.root is Root.CAPTURE and path.text[1:] in captured for path in template.paths)


def filtered(text: str, each: Filter) -> str:
    """A string that is there, after one filter; `or` is the caller's."""
    return _FILTERS[each.name](text, each.argument)


_FILTERS: Mapping[FilterName, Callable[[str, str], str]] = {
    FilterName.LOWER: lambda text, _: text.lower(),
    FilterName.UPPER: lambda text, _: text.upper(),
    FilterName.NOSEP: lambda text, _: text.translate(_SEPARATORS),
    FilterName.TRIM: lambda text, characters: text.strip(characters or None),
    FilterName.LAST: lambda text, separator: text.rpartition(separator)[2],
    FilterName.FIRST: lambda text, separator: text.partition(separator)[0],
    FilterName.DEFAULT: lambda text, default: text or default,
    FilterName.OR: lambda text, _: text,
}


def _value(reference: Reference, captures: Mapping[str, str]) -> str:
    text = captures.get(reference.path.text[1:], "")
    for each in reference.filters:
        if each.name is FilterName.OR and each.path and not text:
            text = captures.get(each.path.text[1:], "")
        text = filtered(text, each)
    return text
