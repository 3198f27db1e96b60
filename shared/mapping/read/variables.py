"""`${name}` in a file's strings and keys. `$${` is `${` itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from traksense_ingest.shared.mapping.faults import did_you_mean, listed
from traksense_ingest.shared.mapping.read.nodes import Entries, Items, Leaf, Node, OnFault, resolve

OnUnknown = Callable[[str], None]

_REFERENCE = re.compile(r"\$?\$\{([^{}]*)\}")


def substituted(node: Node, values: Mapping[str, str], fault: OnFault) -> Node:
    """The same node with the variables' values. What is not quoted is then resolved as if it stood there so."""
    match node:
        case Leaf():
            return _leaf(node, values, fault) if "${" in node.text else node
        case Items(line, column, items):
            return Items(line, column, tuple(substituted(item, values, fault) for item in items))
        case Entries(line, column, entries):
            return Entries(
                line,
                column,
                tuple((_leaf(key, values, fault), substituted(item, values, fault)) for key, item in entries),
            )
        case _:
            return node


def _leaf(leaf: Leaf, values: Mapping[str, str], fault: OnFault) -> Leaf:
    if "${" not in leaf.text:
        return leaf
    text = expanded(leaf.text, values, lambda what: fault(leaf, what))
    return Leaf(leaf.line, leaf.column, resolve(text) if leaf.is_plain else text, text, leaf.is_plain)


def expanded(text: str, values: Mapping[str, str], fault: OnUnknown) -> str:
    """A string with the variables' values; unknown ones stay, and are errors."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if match[0].startswith("$$"):
            return match[0][1:]
        if name not in values:
            known = f"known: {listed(values)}" if values else "the file has no vars"
            fault(f"unknown variable {name}; {known}{did_you_mean(name, values)}")
        return values.get(name, match[0])

    return _REFERENCE.sub(value, text)
