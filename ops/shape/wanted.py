"""What the variables ask of the database."""

from __future__ import annotations

from typing import NamedTuple

from shared.config import Settings


class Wanted(NamedTuple):
    """Days, None where something is off, and the aggregates' names."""

    retention: int | None = None
    dlq_retention: int | None = None
    compress_after: int | None = None
    aggregates: tuple[str, ...] = ()

    @classmethod
    def by(cls, settings: Settings) -> Wanted:
        """Of these settings."""
        return cls(
            settings.ingest_retention_days,
            settings.ingest_dlq_retention_days,
            settings.ingest_compress_after_days,
            settings.ingest_aggregates,
        )
