"""The statements of `queries.sql`, and how an id of the first version becomes a name."""

from __future__ import annotations

from typing import NamedTuple

from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.ops.adopt")

# An id that no map has is kept, as text.
TENANT = "coalesce(tenant_name.new, old.tenant_id::text)"
DEVICE = "coalesce(device_name.new, old.device_id::text)"
POINT = "coalesce(point_name.new, old.point_id::text)"
TENANT_NAMES = "LEFT JOIN adoption.tenant AS tenant_name ON tenant_name.old = old.tenant_id::text"
DEVICE_NAMES = (
    f"{TENANT_NAMES} LEFT JOIN adoption.device AS device_name "
    "ON device_name.tenant = old.tenant_id::text AND device_name.old = old.device_id::text"
)
POINT_NAMES = f"{DEVICE_NAMES} LEFT JOIN adoption.point AS point_name ON point_name.old = old.point_id::text"


class Names(NamedTuple):
    """A table of names, as `set_names` fills it in."""

    table: str
    arrays: str
    key: str


TENANTS = Names("tenant", "$1::text[], $2::text[]", "old")
DEVICES = Names("device", "$1::text[], $2::text[], $3::text[]", "tenant, old")
POINTS = Names("point", "$1::text[], $2::text[]", "old")


def of(name: str, /, **parts: object) -> str:
    """A statement; `parts` are put in where it has their names in braces."""
    statement = _statements[name]
    return statement.format(**parts) if parts else statement
