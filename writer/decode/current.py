"""What a writer's lanes decode with: the routes of the mappings that it runs with, until others are loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.reload import LiveMappings
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.decode.mapped.check import require_passed
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Outcome


class CurrentRoutes:
    """Decodes entries. Shared by a process's lanes."""

    decode: Callable[[Entry], Outcome]  # never raises

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Raises MappingError."""
        self._settings = settings
        self.aliases = Aliases()  # Sparkplug's, whatever the mappings are
        self.mappings = LiveMappings(settings.ingest_mappings, require_passed, self._compiled, metrics)
        self.decode = self.mappings.prepared.decode

    async def follow(self) -> NoReturn:
        """Decode by other mappings from each time on that they are loaded."""
        await self.mappings.follow(self._use)

    async def _use(self, routes: MappedRoutes) -> None:
        self.decode = routes.decode

    def _compiled(self, mappings: Mappings) -> MappedRoutes:
        return compiled(self._settings, mappings, self.aliases)


def compiled(settings: Settings, mappings: Mappings, aliases: Aliases | None = None) -> MappedRoutes:
    """The routes of mappings within the limits that the operator set. Raises MappingError."""
    return MappedRoutes(
        mappings,
        max_payload_bytes=settings.ingest_max_payload_bytes,
        max_future_s=settings.ingest_max_future_s,
        aliases=aliases,
    )
