"""`/audit`: who has done what?"""

from __future__ import annotations

from starlette.responses import Response

from traksense_ingest.ops.console.actions.table import STATEMENT_S, page_of
from traksense_ingest.ops.console.filters import id_of
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.dlq.table import open_table

ROWS = 50


async def show(visit: Visit) -> Response:
    """The newest first."""
    up_to = id_of(visit.query.get("older"))
    async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
        found = await page_of(connection, up_to, ROWS + 1)
    older = found[ROWS].id if len(found) > ROWS else None
    return await visit.render("audit.html", actions=found[:ROWS], older=older, is_first=up_to is None)


PAGES = (Page("/audit", show),)
