"""`status --accept-loss` and `status --dismiss`: stop reporting what an operator knows about."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.status.ledgers import (
    including_recorded,
    ledger_rows,
    shards_with_entries,
)
from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import REDIS_ERRORS
from traksense_ingest.shared.runtime.service import EXIT_FAILED, EXIT_OK
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.client import Clients, connect
from traksense_ingest.shared.streams.heartbeat import Receiver
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow, LedgerRows
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.shared.streams.snapshot import read_snapshot, read_snapshot_after


class Dismissed(NamedTuple):
    """The receivers that were removed, and why others were not, a line each."""

    names: list[str]
    refusals: list[str]


def accept_loss(settings: Settings, patience_s: float, *, as_json: bool) -> int:
    """Accept what is missing and lost; returns the exit code, or raises IngestError."""
    try:
        accepted = asyncio.run(_accept_loss(settings, patience_s))
    except REDIS_ERRORS as error:
        raise ingest_error("REDIS_URL", settings.redis_url, error) from error
    if as_json:
        print(json.dumps({"accepted": accepted}))
    else:
        for stream, count in accepted.items():
            print(f"{stream}: {count} entries accepted as lost" if count else f"{stream}: nothing is lost")
    return EXIT_OK


def dismiss(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Remove receivers that are gone; returns the exit code, 1 if one of the names could not be dismissed.

    Raises IngestError.
    """
    try:
        dismissed = asyncio.run(_dismiss(settings, names))
    except REDIS_ERRORS as error:
        raise ingest_error("REDIS_URL", settings.redis_url, error) from error
    if as_json:
        print(json.dumps({"dismissed": dismissed.names}))
    else:
        for name in dismissed.names:
            print(f"{printable(name)}: dismissed")
    for refusal in dismissed.refusals:
        print(printable(refusal), file=sys.stderr)
    return EXIT_FAILED if dismissed.refusals else EXIT_OK


async def _accept_loss(settings: Settings, patience_s: float) -> dict[str, int]:
    """By stream, how many entries were accepted as lost; the database has `patience_s` for each answer.

    Raises IngestError, and what redis-py raises.
    """
    async with ledger_rows(settings.database_url, patience_s) as rows, connect(settings.redis_url) as clients:
        shards = including_recorded(await shards_with_entries(clients, settings.ingest_shards), await rows.read())
        return {key_of(shard): await _write_off(clients, rows, shard) for shard in shards}


async def _write_off(clients: Clients, rows: LedgerRows, shard: int) -> int:
    """Repeated until nothing is left: writers keep updating the row meanwhile."""
    accepted, stream = 0, key_of(shard)
    while True:
        row = (await rows.read()).get(stream) or LedgerRow(stream=stream)
        now = await read_snapshot_after(clients, shard, row)
        lost = row.lost + row.lost_since(now)
        if not (lost or now.missing):
            return accepted
        revision = max(row.revision, now.revision) + 1
        accepted += max(
            0, await Scripts.of(clients.of(stream)).write_off(keys=[stream, ledger_of(shard)], args=[revision])
        )
        now = await read_snapshot(clients, shard)
        if now.revision >= revision and await rows.replace(row, now, lost=-row.lost):
            accepted += lost


async def _dismiss(settings: Settings, names: Sequence[str]) -> Dismissed:
    """By their names or by patterns such as `edge-*`. Raises what redis-py raises."""
    async with connect(settings.redis_url) as clients:
        known = await heartbeat.receivers(clients)
        found = {name: _matching(name, known) for name in names}
        gone = sorted({each.client_id for matching in found.values() for each in matching if each.is_gone})
        if gone:
            await heartbeat.deregister(clients, *gone)
    refusals = [_refusal(name, matching) for name, matching in found.items() if not any(m.is_gone for m in matching)]
    return Dismissed(gone, refusals)


def _matching(name: str, known: Sequence[Receiver]) -> list[Receiver]:
    """The receiver of that name; if there is none, those that match the pattern."""
    exact = [each for each in known if each.client_id == name]
    return exact or [each for each in known if fnmatchcase(each.client_id, name)]


def _refusal(name: str, matching: Sequence[Receiver]) -> str:
    if matching:
        return f"{name}: is running; only a receiver that is gone can be dismissed"
    return f"{name}: no receiver of that name is known; `traksense-ingest status` shows which ones are gone"
