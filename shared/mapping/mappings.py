"""All mappings of a process: their routes in order, what to subscribe to, and the shard of a topic."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass

from traksense_ingest.shared.mapping.filled import filled, is_of_topic
from traksense_ingest.shared.mapping.filters import uncovered
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.shared.mapping.router import Candidate, Router
from traksense_ingest.shared.mapping.text import Template


@dataclass(frozen=True, slots=True)
class Mappings:
    """Mapping files in the order in which their routes are tried: v1 first, and last what no other route takes."""

    files: tuple[Mapping, ...]
    named: frozenset[str]  # those of INGEST_MAPPINGS; the others are always there, and MQTT_TOPICS has their topics

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every file's, in order."""
        return tuple(route for file in self.files for route in file.routes)

    @property
    def digests(self) -> Dict[str, str]:
        """What each file is, by its name."""
        return {file.name: file.digest for file in self.files}

    def filters(self) -> list[str]:
        """What to subscribe to beside MQTT_TOPICS; none of them covers another one."""
        return uncovered(
            name
            for file in self.files
            if file.name in self.named
            for route in file.routes
            for pattern in route.topics
            for name in pattern.filters
        )

    def router(self) -> Router:
        """Finds the candidates of a topic, in the order of the routes."""
        return Router(self.routes)


class Shards:
    """The key by which a topic's shard is chosen, for a receiver, which decodes nothing."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._keys = [_template(route) for route in routes]
        self._router = Router(routes)

    def key(self, topic: bytes) -> bytes | None:
        """By the first route that has one for this topic; None: the whole topic is the key."""
        keys = (_key(self._keys[candidate.position], candidate) for candidate in self._router.candidates(topic))
        return next((key for key in keys if key is not None), None)


def _template(route: Route) -> tuple[Template, ...] | None:
    """The parts of a route's key, to be joined with a slash."""
    if route.shard is not None:
        return (route.shard,)
    if route.identity is None:
        return None
    parts = (route.identity.tenant, route.identity.device)
    captured = {name for pattern in route.topics for name in pattern.captures}
    return parts if all(is_of_topic(part, captured) for part in parts) and parts[1].references else None


def _key(templates: tuple[Template, ...] | None, candidate: Candidate) -> bytes | None:
    if templates is None:
        return None
    return "/".join(filled(template, candidate.captures) for template in templates).encode()
