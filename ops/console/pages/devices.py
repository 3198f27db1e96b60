"""`/devices`: which devices are silent, and whose clocks are wrong; and `/devices/one`: one device."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from traksense_ingest.ops.console.bounded import bounded
from traksense_ingest.ops.console.live import charts
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.devices.command import SKEWED_S
from traksense_ingest.ops.devices.listing import clock
from traksense_ingest.ops.devices.one import (
    LETTERS_SEARCHED,
    STEP_S,
    OneDevice,
    Point,
    Points,
    Unread,
    read_device,
)
from traksense_ingest.ops.devices.table import Place, Selection, count, open_view, read_page
from traksense_ingest.shared.messages import DEVICE_STATUSES

PATIENCE_S = 8.0
PAGE = 100  # devices
LEVELS = {"online": "good", "late": "warning", "silent": "bad", "offline": "bad"}
ASSUMED_INTERVAL_S = 3600.0  # as the view device_status assumes while the interval is not known


async def show(visit: Visit) -> Response:
    """Devices with a problem first, 100 on a page."""
    selection, wrong_form = _selection(visit)
    place, wrong_place = _place(visit)
    wrong = wrong_form or wrong_place
    async with _opened(visit) as connection:
        counts = await count(connection, selection._replace(statuses=None, skewed_s=None))
        devices, next_ = await read_page(connection, selection, PAGE, place)
    return await visit.render(
        "devices.html",
        400 if wrong else 200,
        selection=selection,
        given={name: visit.query.get(name) for name in ("tenant", "name")},
        status=selection.statuses[0] if selection.statuses else None,
        wrong=wrong,
        statuses=DEVICE_STATUSES,
        levels=LEVELS,
        counts=counts,
        devices=devices,
        place=place,
        next=next_,
        clock=clock,
        skewed_s=SKEWED_S,
    )


async def show_one(visit: Visit) -> Response:
    """Its points, commands, events and dead letters. Names are parameters, since they may have slashes in them."""
    tenant, device = visit.query.get("tenant", ""), visit.query.get("device", "")
    after = visit.query.get("points_after") or None
    if any("\0" in text for text in (tenant, device, after or "")):
        raise HTTPException(404)
    async with _opened(visit) as connection:
        found = await read_device(connection, tenant, device, after)
    if found is None:
        raise HTTPException(404)
    return await visit.render(
        "device.html",
        found=found,
        device=found.status,
        about=found.about[0] if not isinstance(found.about, Unread) and found.about else None,
        levels=LEVELS,
        clock=clock,
        is_skewed=abs(found.status["skew_s"] or 0.0) >= SKEWED_S,
        points=_points(found),
        points_after=after,
        searched=LETTERS_SEARCHED,
        why=_why,
    )


@asynccontextmanager
async def _opened(visit: Visit) -> AsyncIterator[Any]:
    """A connection for as long as the block, which may take PATIENCE_S; raises IngestError."""
    url = visit.settings.database_url
    async with bounded("DATABASE_URL", url, PATIENCE_S), open_view(url) as connection:
        yield connection


def _selection(visit: Visit) -> tuple[Selection, str | None]:
    """What the form says, and what is wrong with it in one line."""
    tenant, name, status = (visit.query.get(each) or None for each in ("tenant", "name", "status"))
    skewed = SKEWED_S if visit.query.get("skewed") else None
    wrong = None
    if status is not None and status not in DEVICE_STATUSES:
        status, wrong = None, f"Status: {status!r} is not one of {', '.join(DEVICE_STATUSES)}."
    for what, text in (("Tenant", tenant), ("Name", name)):
        if text is not None and "\0" in text:
            wrong = f"{what}: a name can't have a NUL character in it."
    if wrong:
        return Selection(), wrong
    return Selection(tenant, [status] if status else None, skewed, name), None


def _place(visit: Visit) -> tuple[Place | None, str | None]:
    """Where the page before ended, and what is wrong with that in one line."""
    position, tenant, device = given = [visit.query.get(name) for name in ("position", "after_tenant", "after")]
    if given == [None, None, None]:
        return None, None
    if position is None or tenant is None or device is None or "\0" in tenant + device or not _is_finite(position):
        return None, "The address of this page is not valid. These are the first devices."
    return Place(float(position), tenant, device), None


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _points(found: OneDevice) -> Any:
    """With a chart each, where it has one."""
    if isinstance(found.points, Unread):
        return found.points
    interval_s = found.status["expected_interval_s"] or ASSUMED_INTERVAL_S
    return [(point, _shown(point), _chart(point, interval_s)) for point in found.points.shown]


def _shown(point: Point) -> str:
    """`21.5`, `true`, `RUN`."""
    match point.value:
        case None:
            return "–"
        case bool():
            return "true" if point.value else "false"
        case float():
            return _digits(point.value)
    return point.value


def _digits(value: float) -> str:
    """Six digits; of a large number, such as a meter's, all that are before the decimal point."""
    return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"


def _chart(point: Point, interval_s: float) -> Any:
    """A sparkline; None where there is nothing to draw."""
    known = [value for value in point.day or () if value is not None and math.isfinite(value)]
    if not known:
        return None
    label = f"the last 24 hours of {point.name}: from {_digits(min(known))} to {_digits(max(known))}"
    return charts.line(joined(point.day or (), math.ceil(2 * interval_s / STEP_S)), label)


def joined(values: Sequence[float | None], most: int) -> list[float | None]:
    """Up to `most` steps without a value get the previous value: a device that is silent for so long is not late."""
    found: list[float | None] = []
    last, gap = None, 0
    for value in values:
        is_known = value is not None and math.isfinite(value)
        last, gap = (value, 0) if is_known else (last, gap + 1)
        found.append(last if gap <= most else None)
    return found


def _why(section: Points | Unread | Iterable[Any]) -> str | None:
    """Why a part of the page can't be shown; None if it can."""
    return section.why if isinstance(section, Unread) else None


PAGES = (Page("/devices", show), Page("/devices/one", show_one))
