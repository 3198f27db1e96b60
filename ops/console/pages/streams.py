"""`/streams/{n}`: how full a stream is, its consumers, and its entries."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import Response

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.console.bounded import bounded
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.streams.entries import Entries, Range, WrongStart, id_of, read_entries, start_of
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.streams import LONG_BACKLOG, balance_of, in_words
from traksense_ingest.shared.failure import REDIS_ERRORS
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import key_of, number_of

PATIENCE_S = 4.0


async def show(visit: Visit) -> Response:
    """A stream and a page of its entries. The automatic refresh does not change the entries."""
    status = await visit.console.feed.status()
    numbers = _numbers(visit, status)
    number = next((each for each in numbers if str(each) == visit.request.path_params["number"]), None)
    if number is None:
        raise HTTPException(404)
    range_, wrong = _range(visit)
    entries = await _entries(visit, key_of(number), range_)
    shard = next((each for each in status.shards if number_of(each.stream) == number), None)
    return await visit.render(
        "streams.html",
        400 if wrong else 200,
        number=number,
        numbers=numbers,
        status=status,
        shard=shard,
        shards={number_of(each.stream): each for each in status.shards},
        forecast=in_words(status.forecast(shard)) if shard else None,
        balance=[str(line) for line in balance_of(shard, (status.lost or {}).get(shard.stream, 0))] if shard else [],
        is_long=shard is not None and shard.in_stream >= LONG_BACKLOG * status.cap,
        entries=entries,
        given=visit.query.get("from", ""),
        again={name: visit.query.get(name) for name in ("from", "after", "before")},
        is_first=range_ == Range(),
        wrong=wrong,
    )


def _numbers(visit: Visit, status: Status) -> list[int]:
    """The streams of INGEST_SHARDS, and others that hold entries."""
    return sorted({*range(visit.settings.ingest_shards), *status.numbers})


def _range(visit: Visit) -> tuple[Range, str | None]:
    """What the URL asks for, and what is wrong with it in one line."""
    given = {name: text.strip() for name in ("from", "after", "before") if (text := visit.query.get(name, "")).strip()}
    try:
        if "after" in given:
            return Range(after=id_of(given["after"])), None
        if "before" in given:
            return Range(before=id_of(given["before"])), None
        return (Range(start_of(given["from"])) if "from" in given else Range()), None
    except WrongStart as error:
        return Range(), f"{error}."


async def _entries(visit: Visit, stream: str, range_: Range) -> Entries:
    """Raises IngestError."""
    url = visit.settings.redis_url
    async with bounded("REDIS_URL", url, PATIENCE_S), connect(url) as clients:
        try:
            return await read_entries(clients.of(stream), stream, range_)
        except REDIS_ERRORS as error:
            raise ingest_error("REDIS_URL", url, error) from error


PAGES = (Page("/streams/{number}", show),)
