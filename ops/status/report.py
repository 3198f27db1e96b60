"""What was found, with the rates between two looks, and what it means for the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ops.status.forecast import Forecast, forecast
from ops.status.part import Part, State
from shared.presence import Receiver
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_OK
from shared.shard import Shard


@dataclass(frozen=True)
class Status:
    """Every shard, and every shard a little earlier, for the rates. None without Redis."""

    before: Sequence[Shard]
    now: Sequence[Shard] | None
    seconds: float  # between the two
    cap: int  # INGEST_QUEUE_MAX, entries a shard
    lost: Mapping[str, int] | None = None  # by stream: entries that went with it; None when the database is away
    parts: Sequence[Part] = ()
    receivers: Sequence[Receiver] | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def shards(self) -> Sequence[Shard]:
        """None of them without Redis."""
        return self.now or ()

    @property
    def agrees(self) -> bool | None:
        """Whether the sums agree on every shard, and no stream went with entries in it; None without Redis."""
        if self.now is None:
            return None
        return all(shard.missing == 0 for shard in self.now) and not any((self.lost or {}).values())

    @property
    def exit_code(self) -> int:
        """2 where waiting doesn't help, else 1 where anything is away or doesn't agree."""
        if any(part.state is State.REFUSED for part in self.parts):
            return EXIT_MISCONFIGURED
        return EXIT_OK if self.agrees and not any(part.is_bad for part in self.parts) else EXIT_FAILED

    def rate(self, shard: Shard, name: str) -> float:
        """How a figure of a shard grows, per second. 0 where a ledger or a stream has begun anew meanwhile."""
        gained: int = getattr(shard, name) - getattr(self._before(shard), name)
        return max(0, gained) / max(self.seconds, 1e-9)

    def forecast(self, shard: Shard) -> Forecast:
        """Where its backlog is going."""
        growth = (shard.in_stream - self._before(shard).in_stream) / max(self.seconds, 1e-9)
        return forecast(shard.in_stream, self.cap, self.rate(shard, "added"), growth)

    def as_json(self) -> str:
        """One object; what can't be known is null."""
        return json.dumps(
            {
                "at": self.at.isoformat(timespec="milliseconds"),
                "ok": self.exit_code == EXIT_OK,
                "agrees": self.agrees,
                "cap": self.cap,
                "parts": {part.name: part.as_dict() for part in self.parts},
                "receivers": None if self.receivers is None else [each.as_dict() for each in self.receivers],
                "shards": [self._shard_as_dict(shard) for shard in self.shards],
            },
            ensure_ascii=False,
        )

    def _shard_as_dict(self, shard: Shard) -> dict[str, Any]:
        trend, seconds = self.forecast(shard)
        return {
            **shard.as_dict(),
            "lost": None if self.lost is None else self.lost[shard.stream],
            "added_per_s": self.rate(shard, "added"),
            "settled_per_s": self.rate(shard, "settled"),
            "trend": trend,
            "until_full_s": seconds if trend == "filling" else None,
            "until_empty_s": seconds if trend in ("draining", "full") else None,
        }

    def _before(self, shard: Shard) -> Shard:
        return next((other for other in self.before if other.stream == shard.stream), shard)
