"""`/`: is the pipeline healthy, and where does it stand?"""

from __future__ import annotations

from starlette.responses import Response

from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The whole pipeline, from the broker to the database."""
    return await visit.render("pipeline.html", status=await visit.console.feed.status())


PAGES = (Page("/", show),)
