"""Ids of the first version → names: from files, and from the tables of the platform."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.schema import Refused
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.messages import NAME_MAX, POINT_NAME_MAX

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
TENANT_COLUMNS, DEVICE_COLUMNS, POINT_COLUMNS = ("old", "new"), ("tenant", "old", "new"), ("old", "new")


@dataclass
class NameMaps:
    """What is renamed. An id that is in none of them is kept as text."""

    tenants: dict[str, str] = field(default_factory=dict)
    devices: dict[tuple[str, str], str] = field(default_factory=dict)  # by the old ids of tenant and device
    points: dict[str, str] = field(default_factory=dict)
    of_files: set[str] = field(default_factory=set)  # old ids, of devices with their tenant's
    ambiguous: list[str] = field(
        default_factory=list
    )  # a line for each id that is kept, since its name is another's too

    def require_known(self, known: NameMaps) -> None:
        """Raise Refused for a name that rows were copied without: they would be there twice."""
        for mine, theirs, what in (
            (self.tenants, known.tenants, "tenant"),
            (self.devices, known.devices, "device"),
            (self.points, known.points, "point"),
        ):
            for old, new in dict[Any, str](mine).items():
                if dict[Any, str](theirs).get(old) != new:
                    id_ = old if isinstance(old, str) else "/".join(old)
                    raise Refused(
                        f"--adopt: the {what} {id_} can't be called {new!r} any more: names are fixed when the "
                        "tables are moved"
                    )

    def tenant(self, old: str) -> str:
        """Its name, or the id itself."""
        return self.tenants.get(old, old)

    def device(self, tenant: str, old: str) -> str:
        """The same of a device, of the tenant with this old id."""
        return self.devices.get((tenant, old), old)

    def unused(self, ids: Collection[tuple[str, str]]) -> list[str]:
        """A line for each that no pair of a tenant and a device has."""
        known, tenants = set(ids), {tenant for tenant, _ in ids}
        lines = [f"tenant {old}" for old in self.tenants if old not in tenants and old in self.of_files]
        return lines + [
            f"device {old} of tenant {tenant}"
            for tenant, old in self.devices
            if (tenant, old) not in known and f"{tenant}/{old}" in self.of_files
        ]

    def unmapped(self, ids: Iterable[tuple[str, str]]) -> list[str]:
        """Of pairs of a tenant and a device, a line for each UUID that has no name."""
        tenants, lines = set[str](), []
        for tenant, device in ids:
            if tenant not in tenants and tenant not in self.tenants and UUID.fullmatch(tenant):
                lines.append(f"tenant {tenant}")
            tenants.add(tenant)
            if (tenant, device) not in self.devices and UUID.fullmatch(device):
                lines.append(f"device {device} of tenant {self.tenant(tenant)}")
        return lines


def read_map(path: Path, columns: tuple[str, ...], longest: int = NAME_MAX) -> Iterator[tuple[str, ...]]:
    """The rows of a CSV file with these columns; a first line with their names is left out.

    Raises ConfigurationError that says which line is wrong, and why.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in (reader := csv.reader(file)):
                values = tuple(_as_text(value.strip()) for value in row)
                if not any(values) or (reader.line_num == 1 and values == columns):
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(values) != len(columns) or not all(values):
                    raise ConfigurationError(f"{where}: should be {','.join(columns)}, is {','.join(row)!r}")
                if wrong := _why_not(values[-1], longest):
                    raise ConfigurationError(f"{where}: {values[-1]!r} {wrong}")
                yield values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def from_files(tenants: Path | None, devices: Path | None, points: Path | None) -> NameMaps:
    """What the operator says. Raises ConfigurationError where a line is wrong, or two ids would get one name."""
    maps = NameMaps()
    if tenants:
        maps.tenants = _one_each(tenants, ((row[0], row[1]) for row in read_map(tenants, TENANT_COLUMNS)))
        _require_different(tenants, maps.tenants)
    if devices:
        rows = (((row[0], row[1]), row[2]) for row in read_map(devices, DEVICE_COLUMNS))
        maps.devices = _one_each(devices, rows)
        _require_different(devices, {key: f"{key[0]}/{name}" for key, name in maps.devices.items()})
    maps.of_files = {*maps.tenants, *("/".join(key) for key in maps.devices)}
    if points:
        rows_ = ((row[0], row[1]) for row in read_map(points, POINT_COLUMNS, POINT_NAME_MAX))
        maps.points = _one_each(points, rows_)
    return maps


async def add_names_of_tables(connection: Any, maps: NameMaps) -> None:
    """What `tenancy_client` and the `devices_device` of each tenant's schema say, where no file says something else.

    Two ids never become one: where a name is not unique, both keep their ids.
    """
    if not await connection.fetchval(sql.of("clients")):
        return
    clients = {row["old"]: row["new"] for row in await connection.fetch(sql.of("client_names"))}
    for old, new in _unique(clients, maps.tenants.values(), "tenant", maps.ambiguous):
        maps.tenants.setdefault(old, new)
    for tenant, schema in clients.items():
        if not await connection.fetchval(sql.of("has_devices"), schema):
            continue
        statement = sql.of("device_names", schema='"' + schema.replace('"', '""') + '"')
        devices = {row["old"]: row["new"] for row in await connection.fetch(statement)}
        taken = [name for (of, _), name in maps.devices.items() if of == tenant]
        for old, new in _unique(devices, taken, f"device of tenant {maps.tenant(tenant)}", maps.ambiguous):
            maps.devices.setdefault((tenant, old), new)


async def saved(connection: Any) -> NameMaps:
    """Those that rows were copied with: they stay as they are."""
    maps = NameMaps()
    maps.tenants = {row["old"]: row["new"] for row in await connection.fetch(sql.of("saved_tenants"))}
    maps.devices = {(row["tenant"], row["old"]): row["new"] for row in await connection.fetch(sql.of("saved_devices"))}
    maps.points = {row["old"]: row["new"] for row in await connection.fetch(sql.of("saved_points"))}
    return maps


async def require_free(connection: Any, schema: str, maps: NameMaps) -> None:
    """Raise Refused where a new name is the id of another tenant or device, which keeps it: rows would be mixed."""
    if await connection.fetchval(sql.of("id_type"), f"{schema}.ts_measure") == "uuid":
        return
    names = [name for name in maps.tenants.values() if name not in maps.tenants]
    for row in await connection.fetch(sql.of("taken_tenants", schema=schema), names):
        raise Refused(f"--adopt: {row['name']!r} is to be the name of a tenant, and is another one's id")
    pairs = [(tenant, name) for (tenant, _), name in maps.devices.items() if (tenant, name) not in maps.devices]
    if pairs:
        tenants, devices = map(list, zip(*pairs, strict=True))
        for row in await connection.fetch(sql.of("taken_devices", schema=schema), tenants, devices):
            raise Refused(
                f"--adopt: {row['name']!r} is to be the name of a device of {row['tenant']}, and is another one's id"
            )


async def save(connection: Any, maps: NameMaps) -> None:
    """Keep them in the database, where the statements that copy find them."""
    devices = [(tenant, old, new) for (tenant, old), new in maps.devices.items()]
    for names, rows in (
        (sql.TENANTS, list(maps.tenants.items())),
        (sql.DEVICES, devices),
        (sql.POINTS, list(maps.points.items())),
    ):
        if rows:
            await connection.execute(sql.of("set_names", **names._asdict()), *map(list, zip(*rows, strict=True)))


def _as_text(value: str) -> str:
    """A UUID as PostgreSQL writes it."""
    return value.lower() if UUID.fullmatch(value) else value


def _unique(
    names: Mapping[str, str], taken: Iterable[str], what: str, ambiguous: list[str]
) -> Iterator[tuple[str, str]]:
    counts = Counter(names.values())
    others = set(taken)
    for old, new in names.items():
        if wrong := _why_not(new, NAME_MAX):
            ambiguous.append(f"{what} {old}: its name {new!r} {wrong}")
        elif counts[new] > 1 or new in others:
            ambiguous.append(f"{what} {old}: another one is called {new!r} too")
        else:
            yield old, new


def _one_each(path: Path, rows: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for key, name in rows:
        if found.setdefault(key, name) != name:
            old = key if isinstance(key, str) else "/".join(key)
            raise ConfigurationError(f"{path}: {old} has two names, {found[key]!r} and {name!r}")
    return found


def _require_different(path: Path, names: Mapping[Any, str]) -> None:
    """Raise ConfigurationError where two tenants, or two devices of a tenant, would become one."""
    for name, count in Counter(names.values()).items():
        if count > 1:
            raise ConfigurationError(
                f"{path}: {count} ids would get the name {name!r}, and their rows would be mixed up"
            )


def _why_not(name: str, longest: int) -> str | None:
    if not 1 <= len(name) <= longest:
        return f"should have 1 to {longest} characters, has {len(name)}"
    return None if name.isprintable() else "should have printable characters only"
