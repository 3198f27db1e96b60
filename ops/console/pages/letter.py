"""`/dead/{id}`: what is wrong with this message, and what would become of it now?"""

from __future__ import annotations

import asyncio
import re

from starlette.responses import Response

from traksense_ingest.ops.console.actions import STATEMENT_S
from traksense_ingest.ops.console.filters import id_of
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.replay_box import box_of
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection, dead_letter_from
from traksense_ingest.ops.dlq.dry_run import REJECTED, forecast_of
from traksense_ingest.ops.dlq.hexdump import HEX_LINES, hex_of
from traksense_ingest.ops.dlq.payload import Row, content_of, kind_of_payload, rows, wrong_byte
from traksense_ingest.ops.dlq.table import LETTERS, NEIGHBOURS, open_table
from traksense_ingest.ops.forecast import Forecast, Forecaster
from traksense_ingest.shared.mapping.faults import MappingError

WIDTH = 200  # characters of a long line on either side of the wrong place
FULL_MAX = 2000  # lines that are shown with `full`

_WRONG = re.compile(r"\w+|.", re.DOTALL)  # what is marked: the rest of a word, or a character


async def show(visit: Visit) -> Response:
    """One dead letter."""
    id_, is_full = id_of(str(visit.request.path_params["id"])), "full" in visit.query
    async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
        row = await connection.fetchrow(LETTERS, *Selection(ids=(id_ or 0,)).arguments)
        if row is None:
            return await visit.render(
                "error.html", 404, heading="Not found", text="There is no such dead letter: it may have been deleted."
            )
        letter = dead_letter_from(row)
        neighbours = await connection.fetchrow(NEIGHBOURS, letter.id)
        box = await box_of(connection, visit.console.replays)
    found = await asyncio.to_thread(_rows, letter, is_full)
    return await visit.render(
        "letter.html",
        letter=letter,
        kind=kind_of_payload(letter.payload, is_text=letter.is_text),
        rows=[(row, *_parts(row)) for row in found[:FULL_MAX]],
        rows_more=max(0, len(found) - FULL_MAX),
        hex=None if letter.is_text else hex_of(letter.payload, HEX_LINES, wrong_byte(letter.reason)),
        now_it=await asyncio.to_thread(_forecast, visit, letter),
        neighbours=neighbours,
        is_full=is_full,
        is_shortened=any(row.hidden for row in found),
        box=box,
    )


def _rows(letter: DeadLetter, is_full: bool) -> list[Row]:
    """The payload, unpacked; none where it is no text, which is shown in hex."""
    is_text = letter.is_text or content_of(letter.payload) != letter.payload
    return rows(letter.payload, letter.reason, full=is_full, width=WIDTH) if is_text else []


def _forecast(visit: Visit, letter: DeadLetter) -> Forecast | str:
    """Of the mappings of INGEST_MAPPINGS; a text where these can't be used."""
    try:
        return forecast_of(letter, Forecaster(visit.settings, REJECTED))
    except MappingError as error:
        return f"not known: INGEST_MAPPINGS has {len(error.faults)} errors"


def _parts(row: Row) -> tuple[str, str, str]:
    """What is before the wrong place, the wrong place, and what is after it."""
    if row.column is not None:
        found = _WRONG.match(row.text, row.column)
        end = found.end() if found else row.column
        return row.text[: row.column], row.text[row.column : end], row.text[end:]
    if row.note is not None:
        text = row.text.lstrip(" ")
        return row.text[: len(row.text) - len(text)], text, ""
    return row.text, "", ""


PAGES = (Page("/dead/{id:int}", show),)
