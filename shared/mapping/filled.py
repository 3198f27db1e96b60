"""Templates of a topic's captures, filled in: what both sides need, the receiver for the shard and the writer too."""

from __future__ import annotations

from collections.abc import Mapping

from traksense_ingest.shared.mapping.text import Filter, FilterName, Reference, Root, Template

_SEPARATORS = str.maketrans("", "", ":-._ ")


def filled(template: Template, captures: Mapping[str, str]) -> str:
    """A template whose references are all captures."""
    return "".join(part if isinstance(part, str) else _value(part, captures) for part in template.parts)


def is_of_captures(template: Template) -> bool:
    """Whether it needs nothing of the payload."""
    return all(
        path.root is Root.CAPTURE
        for reference in template.references
        for path in (reference.path, *(each.path for each in reference.filters if each.path))
    )


def filtered(text: str, each: Filter) -> str:
    """A text that is there, after one filter. `or` and `default` are for what is empty."""
    match each.name:
        case FilterName.LOWER:
            return text.lower()
        case FilterName.UPPER:
            return text.upper()
        case FilterName.NOSEP:
            return text.translate(_SEPARATORS)
        case FilterName.TRIM:
            return text.strip(each.argument or None)
        case FilterName.LAST:
            return text.rpartition(each.argument)[2]
        case FilterName.FIRST:
            return text.partition(each.argument)[0]
        case FilterName.DEFAULT:
            return text or each.argument
        case FilterName.OR:
            return text


def _value(reference: Reference, captures: Mapping[str, str]) -> str:
    text = captures.get(reference.path.text[1:], "")
    for each in reference.filters:
        if each.name is FilterName.OR and each.path and not text:
            text = captures.get(each.path.text[1:], "")
        text = filtered(text, each)
    return text
