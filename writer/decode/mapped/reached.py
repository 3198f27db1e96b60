"""Which routes and points the messages of tests have reached."""

from __future__ import annotations

from typing import Any

from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.writer.decode.mapped.adder import Add, Readings
from traksense_ingest.writer.decode.mapped.scope import Scope


class Reached:
    """Collects what was reached. Without one nothing is watched, and nothing costs more."""

    def __init__(self) -> None:
        self.routes: list[str] = []  # labels, in the order in which messages took them
        self.points: set[tuple[str, str]] = set()  # a route's label, and the place of an entry in the file

    def watched(self, route: Route, where: str, add: Add) -> Add:
        """The same, and that it has added something is noted."""

        def add_and_note(record: Any, scope: Scope, readings: Readings) -> None:
            before = _count(scope, readings)
            add(record, scope, readings)
            if _count(scope, readings) > before:
                self.points.add((route.label, where))

        return add_and_note


def _count(scope: Scope, readings: Readings) -> int:
    others = sum(len(group) for group in scope.groups.values() if group is not readings)
    return len(readings) + others + scope.repeated + scope.same_point
