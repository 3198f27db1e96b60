"""The table sparkplug_birth: the last BIRTH of each node and device, in the transaction of the batch that has it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from traksense_ingest.shared import integrity
from traksense_ingest.shared.database import read
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.outcome import AwaitsBirth, Birth, BornMetric, Decoded, Outcome, Rejected
from traksense_ingest.writer.store import sql


class BirthRow(NamedTuple):
    """A row of sparkplug_birth."""

    tenant_id: str
    device_key: str
    born_at: datetime
    aliases: str  # JSON: [[name, data type, alias or null], …]


async def upsert_births(connection: Any, births: Iterable[tuple[str, Birth]]) -> None:
    """Keep the latest of each, with its tenant, unless a later one is there."""
    await sql.execute(connection, sql.UPSERT_BIRTHS, latest(births))


def births_used(outcomes: Iterable[Outcome]) -> dict[str, datetime | None]:
    """The nodes and devices whose aliases these messages have, and when the latest BIRTH that was used was received;
    None where none is known."""
    used: dict[str, datetime | None] = {}
    for outcome in outcomes:
        if isinstance(outcome, AwaitsBirth):
            used.setdefault(outcome.device_key, None)
        elif isinstance(outcome, Decoded | Rejected) and outcome.named_by:
            key, born_at = outcome.named_by
            used[key] = max(born_at, used.get(key) or born_at)
    return used


class StoredBirths:
    """Reads the table into what this process knows."""

    def __init__(self, pool: Any, aliases: Aliases) -> None:
        self._pool = pool
        self._aliases = aliases

    async def load(self, used: Mapping[str, datetime | None]) -> dict[str, datetime]:
        """Learn the BIRTHs of these nodes and devices that are stored and later than those that were used; returns when
        each was received. Raises what asyncpg raises, and Unusable.

        Asked for each batch, since another writer may have stored one just before the data that follow it: an answer of
        a second ago would be wrong then.
        """

        def later(connection: Any) -> Awaitable[list[Any]]:
            return integrity.fetch(connection, sql.BIRTHS, [*used], [*used.values()])

        found = [row for row in await read(self._pool, later) if row["device_key"] is not None]
        for row in found:
            self._aliases.learn(Birth(row["device_key"], row["born_at"], _metrics(row["aliases"])))
        return {row["device_key"]: row["born_at"] for row in found}


def latest(births: Iterable[tuple[str, Birth]]) -> list[BirthRow]:
    """Of each node or device the one that was born last, of equal ones the last; sorted by key, so that two writers
    can't deadlock."""
    found: dict[tuple[str, str], Birth] = {}
    for tenant_id, birth in births:
        key = tenant_id, birth.device_key
        if key not in found or found[key].born_at <= birth.born_at:
            found[key] = birth
    return [BirthRow(*key, found[key].born_at, _text(found[key].metrics)) for key in sorted(found)]


def _text(metrics: Iterable[BornMetric]) -> str:
    return json.dumps(list(metrics), ensure_ascii=False, separators=(",", ":"))


def _metrics(text: str) -> tuple[BornMetric, ...]:
    """None where somebody else has changed the row."""
    try:
        return tuple(
            BornMetric(str(name), str(datatype), None if alias is None else int(alias))
            for name, datatype, alias in json.loads(text)
        )
    except (ValueError, TypeError):
        return ()
