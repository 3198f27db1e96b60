"""What `devices set` does: the interval at which devices are expected to send."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, NamedTuple

import click

from traksense_ingest.ops.devices.table import SET_INTERVAL, open_view
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.errors import IngestError

ALL_ROWS = "SET LOCAL row_security = off"  # an error instead of devices that this role does not see
NAMED = 5  # of unknown devices


class Chosen(NamedTuple):
    """Devices of a tenant: these, or those at a site; all where both are None."""

    tenant: str
    devices: Collection[str] | None
    site: str | None


def set_interval(settings: Settings, chosen: Chosen, seconds: float | None) -> None:
    """The command; None: it is learned. Raises IngestError where a device is not known, and changes nothing then."""
    changed = asyncio.run(_set(settings.database_url, chosen, seconds))
    click.echo(f"{number(changed, 'device')}: interval {'learned' if seconds is None else f'{seconds:g} s'}")


async def _set(url: str, chosen: Chosen, seconds: float | None) -> int:
    async with open_view(url) as connection, in_transaction(connection):
        await connection.execute(ALL_ROWS)
        return await _change(connection, chosen, seconds)


async def _change(connection: Any, chosen: Chosen, seconds: float | None) -> int:
    """How many were changed."""
    rows = await connection.fetch(SET_INTERVAL, *chosen, seconds)
    changed = {row["device_id"] for row in rows}
    unknown = [name for name in dict.fromkeys(chosen.devices or ()) if name not in changed]
    if unknown or not changed:
        raise IngestError(_unknown(chosen, unknown))
    return len(changed)


def _unknown(chosen: Chosen, names: list[str]) -> str:
    if names:
        which = f"{chosen.tenant}: there is no such device: {', '.join(names[:NAMED])}{', …' * (len(names) > NAMED)}"
    elif chosen.site is not None:
        which = f"{chosen.tenant}: there is no device at the site {chosen.site}"
    else:
        which = f"there is no device of the tenant {chosen.tenant}"
    return printable(f"{which}; nothing was changed, and `traksense-ingest devices` lists those that are known")
