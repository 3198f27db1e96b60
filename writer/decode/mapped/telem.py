"""The readings of one record: those at its own time, and those of points that have a time of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.writer.decode.mapped.adder import CompileTime, Readings
from traksense_ingest.writer.decode.mapped.kinds import Made, Who
from traksense_ingest.writer.decode.mapped.points import compile_point
from traksense_ingest.writer.decode.mapped.reached import Reached
from traksense_ingest.writer.decode.mapped.scope import ROWS_MAX, Scope, Wrong
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Rows


def compile_telem(route: Route, compile_time: CompileTime, reached: Reached | None) -> Made:
    """Rows of ts_measure."""
    adders = tuple(compile_point(point, compile_time) for point in route.points)
    if reached is not None:
        adders = tuple(
            reached.watched(route, point.where, add) for point, add in zip(route.points, adders, strict=True)
        )
    has_own_times = any(point.time for point in route.points)

    def rows(record: Any, scope: Scope, who: Who, ts: datetime | None, meta: str | None) -> tuple[Rows, ...]:
        readings: Readings = {}
        if has_own_times:
            scope.groups = {} if ts is None else {ts: readings}
        for add in adders:
            add(record, scope, readings)
            if len(readings) > ROWS_MAX:
                scope.take_rows(len(readings))
        tenant, _, device = who
        if has_own_times:
            return tuple(_groups(readings, scope, who, ts, meta))
        if not readings:
            return ()
        if ts is None:
            raise Wrong("there is none", below="time")
        repeated, scope.repeated = scope.repeated, 0
        return (Measures(tenant, device, ts, meta, tuple(readings.values()), repeated),)

    return rows


def _groups(readings: Readings, scope: Scope, who: Who, ts: datetime | None, meta: str | None) -> list[Measures]:
    if ts is None and readings:
        raise Wrong("there is none", below="time")
    tenant, _, device = who
    found = []
    for moment, group in scope.groups.items():
        if group:
            repeated, scope.repeated = scope.repeated, 0
            found.append(Measures(tenant, device, moment, meta, tuple(group.values()), repeated))
    return found
