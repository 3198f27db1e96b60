"""`/dead/{id}`: what is wrong with this message, and would it be stored now?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from traksense_ingest.ops.console.actions.replay_box import box_of
from traksense_ingest.ops.console.actions.table import STATEMENT_S
from traksense_ingest.ops.console.filters import id_of
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection, dead_letter_from
from traksense_ingest.ops.dlq.dry_run import REJECTED, forecast_of
from traksense_ingest.ops.dlq.payload import kind_of_payload
from traksense_ingest.ops.dlq.payload_page import shown
from traksense_ingest.ops.dlq.table import LETTERS, NEIGHBOURS, open_table
from traksense_ingest.ops.forecast import Forecast, Forecaster
from traksense_ingest.ops.terminal import number
from traksense_ingest.shared.mapping.faults import MappingError

FULL_MAX = 2000  # lines that are shown with `full`


async def show(visit: Visit) -> Response:
    """One dead letter."""
    id_, is_full = id_of(visit.request.path_params["id"]), "full" in visit.query
    async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
        row = await connection.fetchrow(LETTERS, *Selection(ids=(id_ or 0,)).arguments)
        if row is None:
            return await visit.error(404, "Not found", "There is no such dead letter: it may have been deleted.")
        letter = dead_letter_from(row)
        neighbours = await connection.fetchrow(NEIGHBOURS, letter.id)
        box = await box_of(connection, visit.console.replays)
    found = await asyncio.to_thread(shown, letter.payload, letter.reason, is_text=letter.is_text, full=is_full)
    return await visit.render(
        "letter.html",
        letter=letter,
        kind=kind_of_payload(letter.payload, is_text=letter.is_text),
        lines=found.lines[:FULL_MAX],
        lines_more=max(0, len(found.lines) - FULL_MAX),
        hex=found.hex,
        now_it=await asyncio.to_thread(_forecast, visit, letter),
        neighbours=neighbours,
        is_shortened=found.is_shortened,
        box=box,
    )


def _forecast(visit: Visit, letter: DeadLetter) -> Forecast | str:
    """With the mappings of INGEST_MAPPINGS; a text if they have errors."""
    try:
        return forecast_of(letter, Forecaster(visit.settings, REJECTED))
    except MappingError as error:
        return f"not known: INGEST_MAPPINGS has {number(len(error.faults), 'error')} (traksense-ingest mapping lint)"


PAGES = (Page("/dead/{id}", show),)
