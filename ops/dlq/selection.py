"""Which dead letters a command is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Selection:
    """All that is given must hold; None is no condition."""

    ids: tuple[int, ...] | None = None
    tenant: str | None = None
    reason: str | None = None  # error_class
    since: datetime | None = None
    until: datetime | None = None  # exclusive
    replayed: bool | None = None
    first: int | None = None  # ids from this one on
    last: int | None = None  # … up to this one

    @property
    def is_everything(self) -> bool:
        """Whether nothing says which."""
        return self == Selection(first=self.first, last=self.last)

    def between(self, first: int | None, last: int | None) -> Selection:
        """Those of these ids."""
        return replace(self, first=first, last=last)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What {selected} takes, $1 to $8."""
        ids = None if self.ids is None else list(self.ids)
        return (ids, self.tenant, self.reason, self.since, self.until, self.replayed, self.first, self.last)
