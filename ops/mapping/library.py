"""The mappings that ship: their variables, and each of them loaded with something in those that have no default."""

from __future__ import annotations

import shlex
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from urllib.parse import quote

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.faults import did_you_mean
from traksense_ingest.shared.mapping.load import LIBRARY, VARIABLE, formats, load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping
from traksense_ingest.shared.mapping.read.nodes import Entries, Leaf, Node, compose

EXAMPLES = {"tz": "UTC"}  # for variables without a default


@dataclass(frozen=True, slots=True)
class Format:
    """A mapping of the library. `vars` are its variables with their defaults, None where they must be set."""

    name: str
    vars: Dict[str, str | None]
    mapping: Mapping  # with EXAMPLES

    @property
    def needed(self) -> list[str]:
        """The variables that must be set."""
        return [name for name, default in self.vars.items() if default is None]

    @property
    def topics(self) -> list[str]:
        """All of its routes' topics, each once, and without those that are ignored."""
        routes = [route for route in self.mapping.routes if not route.ignore]
        return list(dict.fromkeys(pattern.text for route in routes for pattern in route.topics))

    def setting(self, given: Dict[str, str] | None = None) -> str:
        """The entry of INGEST_MAPPINGS, with what is given and what must be set: `tasmota?tenant=acme&tz=…`."""
        given = given or {}
        shown = [name for name in self.vars if name in given or name in self.needed]
        values = [f"{name}={quote(given[name]) if name in given else '…'}" for name in shown]
        return f"{self.name}?{'&'.join(values)}" if values else self.name


def assignment(setting: str) -> str:
    """INGEST_MAPPINGS as a shell takes it."""
    return f"{VARIABLE}={shlex.quote(setting)}"


def names() -> list[str]:
    """Of all formats."""
    return formats()


def format_of(name: str, tenant: str | None = None) -> Format:
    """One of them; raises ConfigurationError if there is none of this name."""
    if name not in (known := formats()):
        hint = did_you_mean(name, known)
        listed = f"{f'{hint} It' if hint else '; it'} has {', '.join(known)}"
        raise ConfigurationError(f"the library has no mapping {name!r}{listed}")
    found = variables((LIBRARY / f"{name}.yaml").read_text(encoding="utf-8"))
    mappings = load(spec_of(name, found, tenant))
    (mapping,) = (file for file in mappings.files if file.name in mappings.named)
    return Format(name, found, mapping)


def everything(tenant: str | None = None) -> tuple[Mappings, dict[str, Format]]:
    """The whole library at once, and each of it."""
    found = {name: format_of(name, tenant) for name in formats()}
    spec = ",".join(spec_of(each.name, each.vars, tenant) for each in found.values())
    return load(spec), found


def spec_of(name: str, declared: Dict[str, str | None], tenant: str | None = None) -> str:
    """An entry of INGEST_MAPPINGS that can be loaded, with this tenant, and with examples for what must be set."""
    given = {"tenant": tenant} if tenant and "tenant" in declared else {}
    values = {each: EXAMPLES.get(each, each) for each, default in declared.items() if default is None} | given
    settings = [f"{each}={quote(value)}" for each, value in values.items()]
    return f"{name}?{'&'.join(settings)}" if settings else name


def variables(text: str) -> dict[str, str | None]:
    """The variables of a mapping file, and their defaults as written."""
    top = _entries(compose(text, lambda _at, _what: None))
    found = _entries(top["vars"]) if "vars" in top else {}
    return {name: _text(value) for name, value in found.items()}


def _entries(node: Node) -> dict[str, Node]:
    return {key.text: value for key, value in node.entries} if isinstance(node, Entries) else {}


def _text(node: Node) -> str | None:
    return node.text if isinstance(node, Leaf) and node.value is not None else None
