"""The dead letters of an action, as recorded with the action and shown on pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.terminal import at

NAMES = {
    "ids": "id",
    "tenant": "tenant",
    "reason": "class",
    "text": "text",
    "device": "device",
    "group": "reason",
    "since": "since",
    "until": "until",
    "last": "up to id",
}


@dataclass(frozen=True)
class Scope:
    """A selection up to an id, so that later dead letters are not in it. With `before`, also those that were replayed
    before this time."""

    selection: Selection
    before: datetime | None = None
    rate: float | None = None  # messages/s, of a replay

    def as_json(self) -> str:
        """For the column `scope`, and for a field of a form."""
        before = None if self.before is None else self.before.isoformat()
        return json.dumps({"selection": self.selection.as_dict(), "before": before, "rate": self.rate})

    @classmethod
    def from_json(cls, text: str) -> Scope:
        """Raises ValueError where it is not what `as_json` returns."""
        try:
            given = json.loads(text)
            before = given["before"]
            selection = Selection.from_dict(given["selection"])
            return cls(selection, None if before is None else datetime.fromisoformat(before), given["rate"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a scope: {error}") from None

    def words(self) -> Iterator[tuple[str, str]]:
        """Each condition, and its value."""
        for field, name in NAMES.items():
            value = getattr(self.selection, field)
            if isinstance(value, tuple):
                yield name, ", ".join(map(str, value))
            elif isinstance(value, datetime):
                yield name, f"{at(value)} UTC"
            elif value is not None:
                yield name, str(value)
        if self.selection.replayed is not None:
            yield "replayed", "yes" if self.selection.replayed else "no"
        if self.before:
            yield "also those replayed before", f"{at(self.before)} UTC"
