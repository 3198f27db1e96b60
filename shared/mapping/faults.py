"""What is wrong with mapping files: all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.points import Place

NAMES_COMPARED = 1000  # each costs some µs


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """An error: `file:line:column: where: what`. The place is None for what no file says, such as a name in
    INGEST_MAPPINGS."""

    place: Place | None
    where: str  # such as routes[0].points[2].unit
    what: str

    def __str__(self) -> str:
        line = ": ".join(str(part) for part in (self.place, self.where, self.what) if part)
        return line if line.isprintable() else "".join(map(_printable, line))


class MappingError(ConfigurationError):
    """Errors of mapping files, a line each."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing where none of the names is near."""
    names = {name.lower(): name for name in islice(allowed, NAMES_COMPARED)}
    near = get_close_matches(found[:64].lower(), names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""


def quoted(text: str) -> str:
    """A string of a file as an error shows it: short, on one line."""
    shown = text if len(text) <= 60 else f"{text[:57]}…"
    return repr(shown)[1:-1].replace("\\'", "'") if shown.strip() else repr(shown)


def listed(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
