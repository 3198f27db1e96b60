"""The filters of the dead letters: the parameters of a URL, and what they select."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.options import time_of
from traksense_ingest.shared.messages import POISON_REASONS

NAMES = ("tenant", "class", "text", "device", "group", "since", "until", "unreplayed")
LONGEST = 1000  # characters of a value
ID_MAX = 2**63 - 1


class Filters:
    """The texts that a user has given, and the selection that they mean."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.values = {name: _clean(name, query.get(name, "")) for name in NAMES}
        self.errors: list[str] = []
        class_ = self.values["class"]
        if class_ and class_ not in POISON_REASONS:
            self.errors.append(f"class: {class_!r} is not one of {', '.join(POISON_REASONS)}")
        self.selection = Selection(
            tenant=self.values["tenant"] or None,
            reason=class_ or None,
            text=self.values["text"] or None,
            device=self.values["device"] or None,
            group=self.values["group"] or None,
            since=self._parsed("since", time_of),
            until=self._parsed("until", time_of),
            replayed=False if self.values["unreplayed"] else None,
        )

    @property
    def is_empty(self) -> bool:
        """Whether all dead letters are selected."""
        return not any(self.values.values())

    def query(self, **changes: object) -> dict[str, Any]:
        """The parameters of a URL, some of them changed."""
        return {**self.values, **changes}

    def _parsed(self, name: str, parse: Callable[[str], datetime]) -> datetime | None:
        try:
            return parse(self.values[name]) if self.values[name] else None
        except (ValueError, OverflowError) as error:
            self.errors.append(f"{name}: {error}")
            return None


def id_of(text: str | None) -> int | None:
    """An id from a URL; None if the text is not an id."""
    id_ = int(text) if text and re.fullmatch("[0-9]{1,19}", text) else 0
    return id_ if 0 < id_ <= ID_MAX else None


def _clean(name: str, value: str) -> str:
    """Without characters that PostgreSQL's type text can't hold, and without blanks around what a user has typed."""
    text = value if name == "group" else value.strip()
    return text[:LONGEST].replace("\0", "").encode(errors="ignore").decode()
