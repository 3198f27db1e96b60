"""`/dead`: which messages were rejected, why, of which tenant, and would they be stored now?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from traksense_ingest.ops.console.actions.exports import HEADERS, JSON_LINES, Download
from traksense_ingest.ops.console.actions.replay_box import ReplayBox, box_of
from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.actions.table import EXPORT, STATEMENT_S, start_reading
from traksense_ingest.ops.console.filters import Filters, id_of
from traksense_ingest.ops.console.live.charts import bars
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.dlq.dry_run import REJECTED, Trial, try_newest
from traksense_ingest.ops.dlq.groups import Group, read_groups, read_rows
from traksense_ingest.ops.dlq.listing import count, total
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.ops.forecast import Forecaster
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.faults import MappingError
from traksense_ingest.shared.messages import POISON_REASONS

ROWS = 50  # of a page of the list
TRIED, TRIED_S = 100, 3.0  # dead letters of a group, and seconds


async def show(visit: Visit) -> Response:
    """Groups, and below them the list."""
    filters = Filters(visit.query)
    context: dict[str, Any] = {"filters": filters, "classes": POISON_REASONS, "bars": _bars, "tried": TRIED}
    if filters.errors:
        return await visit.render("dead.html", 400, found=None, **context)
    try:
        async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
            up_to, from_ = id_of(visit.query.get("older")), id_of(visit.query.get("newer"))
            page = await read_rows(connection, filters.selection, ROWS, up_to=up_to, from_=from_)
            context |= {
                "found": await read_groups(connection, filters.selection),
                "page": page,
                "is_first": up_to is None and from_ is None,
                "box": await box_of(connection, visit.console.replays),
                "forecast": (group := visit.query.get("forecast", "")),
                "trial": await _trial(visit, connection, filters, group) if group else None,
            }
    except IngestError as error:
        if (box := ReplayBox.unreachable(visit.console.replays)) is None:
            raise
        return await visit.render("dead_unreachable.html", 503, text=str(error), box=box)
    return await visit.render("dead.html", **context)


async def _trial(visit: Visit, connection: Any, filters: Filters, group: str) -> Trial | None:
    """A dry run of the newest of a group that were not replayed; None if the mappings have errors."""
    try:
        forecaster = await asyncio.to_thread(Forecaster, visit.settings, REJECTED)
    except MappingError:
        return None
    return await try_newest(connection, forecaster, replace(filters.selection, group=group), None, TRIED, TRIED_S)


def _bars(group: Group) -> Any:
    return bars(group.hours, f"{sum(group.hours)} in the last 24 hours, at most {max(group.hours)} in one")


async def export(visit: Visit) -> Response:
    """The selected dead letters as JSON Lines, as `dlq export` writes them."""
    filters = Filters(visit.query)
    if filters.errors:
        return await visit.error(400, "No export", "; ".join(filters.errors))
    assert visit.session is not None  # noqa: S101  (a viewer, at least)
    if visit.request.method == "HEAD":
        return Response(media_type=JSON_LINES, headers=HEADERS)
    async with open_table(visit.settings.database_url) as connection:
        asked = total(await count(connection, filters.selection))
        action = await start_reading(connection, visit.session, EXPORT, Scope(filters.selection), asked)
    return Download(visit.console.exports.lines(filters.selection, action))


PAGES = (Page("/dead", show), Page("/dead/export", export))
