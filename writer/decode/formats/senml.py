"""SenML (RFC 8428), resolved: base fields are added to each record, and relative times to the time of receipt."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from traksense_ingest.writer.decode.formats.document import (
    PREFIX_MAX,
    Document,
    FormatError,
    FormatLimits,
    Parser,
    finite,
    microseconds_of,
    seconds,
)
from traksense_ingest.writer.decode.formats.json_text import parse_json

VERSION = 10  # the one of RFC 8428; a newer pack may mean something else
RELATIVE_BELOW = 2**28  # seconds: a time below is relative to now, which is the time of receipt
BASE_ENDS = "_:"  # what separates a base name that is a device's from the names after it

_NUMBERS, _TEXTS, _BOOLEANS = frozenset((int, float)), frozenset((str,)), frozenset((bool,))
_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("bt", "bv", "bs", "v", "s", "t", "ut"), _NUMBERS),
    **dict.fromkeys(("bn", "bu", "n", "u", "vs", "vd"), _TEXTS),
    "vb": _BOOLEANS,
}
_EXPECTED = {_NUMBERS: "Input should be a number", _TEXTS: "Input should be a string"} | {
    _BOOLEANS: "Input should be a boolean"
}
_BASE = frozenset(("bn", "bt", "bu", "bv", "bs", "bver"))
_RESOLVED = _BASE | {"n", "u", "v", "vb", "vs", "vd", "s", "t"}
_OTHER_VALUES = frozenset(("vb", "vs", "vd"))
_NOT_AN_ARRAY = "Input should be an array of SenML records"


def senml_parser(limits: FormatLimits) -> Parser:
    """`base`, `base_time`, `records`, and the records' values and units by their local names."""

    def parse(payload: bytes, received: datetime) -> Document:
        pack = parse_json(payload)
        if not isinstance(pack, list):
            raise FormatError("payload", _NOT_AN_ARRAY)
        return _Pack(received, limits.max_future_s).resolve(pack)

    return parse


class _Pack:
    """The base fields that hold at a place in the pack: they last until another one replaces them."""

    __slots__ = (
        *("base", "device", "is_usual", "max_future_s", "prefix", "received", "time"),
        *("document", "records", "units", "values"),
    )

    def __init__(self, received: datetime, max_future_s: int) -> None:
        self.received, self.max_future_s = received, max_future_s
        self.base: dict[str, Any] = {}
        self.prefix, self.device = "", ""
        self.time: int | float | None = None  # `bt`, absolute
        self.is_usual = False  # a device and a time, and nothing that is added to values
        self.records: list[dict[str, Any]] = []
        self.values: dict[str, Any] = {}
        self.units: dict[str, str] = {}
        self.document: dict[str, Any] = {"records": self.records, "value": self.values, "unit": self.units}

    def resolve(self, pack: list[Any]) -> Document:
        for index, record in enumerate(pack):
            if type(record) is not dict:
                raise FormatError(f"[{index}]", _NOT_AN_ARRAY)
            if not self._add_usual(record):
                self._take(record, index)
        return self.document

    def _add_usual(self, record: dict[str, Any]) -> bool:
        """Add what nearly all records are: a name with a unit and a number, or with a string. False: another one."""
        local = record.get("n")
        if not self.is_usual or type(local) is not str or not local:
            return False
        name, base, time = self.prefix + local, self.device, self.time
        if len(record) == 3 and type(value := record.get("v")) in _NUMBERS:
            if type(unit := record.get("u")) is not str or not unit:
                return False
            self.records.append({"name": name, "local": local, "base": base, "u": unit, "value": value, "time": time})
            self.units[local] = unit
        elif len(record) == 2 and type(value := record.get("vs")) is str and "bu" not in self.base:
            self.records.append({"name": name, "local": local, "base": base, "value": value, "time": time})
        else:
            return False
        self.values[local] = value
        return True

    def _take(self, record: dict[str, Any], index: int) -> None:
        _check(record, index)
        if not _BASE.isdisjoint(record):
            self._take_base(record, index)
        if not _BASE.issuperset(record):
            self._add(record, index)

    def _take_base(self, record: dict[str, Any], index: int) -> None:
        base = self.base
        base.update({name: value for name, value in record.items() if name in _BASE})
        self.prefix = base.get("bn", "")
        if len(self.prefix) > PREFIX_MAX:
            raise FormatError(f"[{index}].bn", f"{len(self.prefix)} characters, at most {PREFIX_MAX} are allowed")
        self.device = self.prefix.rstrip(BASE_ENDS)
        if self.device:
            self.document.setdefault("base", self.device)
        if "bt" in record:
            self.time = self._absolute(record["bt"])
            self.document.setdefault("base_time", self.time)
        self.is_usual = bool(self.device) and self.time is not None and "bv" not in base and "bs" not in base

    def _add(self, record: dict[str, Any], index: int) -> None:
        resolved = self._resolved(record, index)
        self.records.append(resolved)
        if local := record.get("n"):
            if "value" in resolved:
                self.values[local] = resolved["value"]
            if "u" in resolved:
                self.units[local] = resolved["u"]

    def _resolved(self, record: dict[str, Any], index: int) -> dict[str, Any]:
        base, local = self.base, record.get("n", "")
        resolved: dict[str, Any] = {"name": self.prefix + local}
        if local:
            resolved["local"] = local
        if self.device:
            resolved["base"] = self.device
        if unit := record.get("u", base.get("bu")):
            resolved["u"] = unit
        self._add_value(resolved, record, index)
        if "s" in record or "bs" in base:
            resolved["sum"] = _sum(base.get("bs"), record.get("s"), f"[{index}].s")
        if "t" in record:
            resolved["time"] = self._absolute(_sum(base.get("bt"), record["t"], f"[{index}].t"))
        elif self.time is not None:
            resolved["time"] = self.time
        if not _RESOLVED.issuperset(record):
            resolved.update({name: value for name, value in record.items() if name not in _RESOLVED})
        return resolved

    def _add_value(self, resolved: dict[str, Any], record: dict[str, Any], index: int) -> None:
        if not _OTHER_VALUES.isdisjoint(record):
            resolved["value"] = _other_value(record, index)
        elif "bv" in self.base:
            resolved["value"] = _sum(self.base["bv"], record.get("v"), f"[{index}].v")
        elif "v" in record:
            resolved["value"] = record["v"]

    def _absolute(self, time: float) -> int | float:
        """Since the epoch. What would be further ahead than allowed is a clock that was never set, not a distance: it
        stays, in the 1970s, for the mapping to decide on."""
        if abs(time) >= RELATIVE_BELOW or time > self.max_future_s:
            return time
        return seconds(microseconds_of(self.received) + round(time * 1_000_000))


def _other_value(record: dict[str, Any], index: int) -> str | bool:
    """A text, a boolean or data, which is Base64 in JSON."""
    given = [name for name in ("v", "vb", "vs", "vd") if name in record]
    if len(given) > 1:
        raise FormatError(f"[{index}]", f"{' and '.join(given)}, and should have one value")
    value: str | bool = record[given[0]]
    return value


def _check(record: dict[str, Any], index: int) -> None:
    for name, value in record.items():
        if types := _TYPES.get(name):
            if type(value) not in types:
                raise FormatError(f"[{index}].{name}", _EXPECTED[types])
        elif name == "bver":
            _check_version(value, index)
        elif name.endswith("_"):
            raise FormatError(
                f"[{index}].{name[:64]}", "a field whose name ends in _ must be understood, and is unknown"
            )


def _check_version(version: Any, index: int) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version <= VERSION:
        raise FormatError(f"[{index}].bver", f"version {str(version)[:16]}, at most {VERSION} is known")


def _sum(base: float | None, number: float | None, where: str) -> int | float:
    """In decimals: 21.1 and 0.2 are 21.3. Of two that are present, else the one that is."""
    if not base or not number:
        return base or number or 0
    if isinstance(base, int) and isinstance(number, int):
        return base + number
    return finite(float(Decimal(repr(base)) + Decimal(repr(number))), where) or 0
