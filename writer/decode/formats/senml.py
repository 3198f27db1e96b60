"""SenML (RFC 8428), resolved: base fields are added to each record, and relative times to the time of receipt."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from traksense_ingest.writer.decode.formats.document import (
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
RELATIVE_BELOW = 2**28  # seconds: a time below is relative to now, which is the receipt
BASE_ENDS = "_:"  # what separates a base name that is a device's from the names after it

_NUMBER, _TEXT, _BOOLEAN = (int, float), (str,), (bool,)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("bt", "bv", "bs", "v", "s", "t", "ut"), (_NUMBER, "Input should be a number")),
    **dict.fromkeys(("bn", "bu", "n", "u", "vs", "vd"), (_TEXT, "Input should be a text")),
    "vb": (_BOOLEAN, "Input should be a boolean"),
}
_BASE = ("bn", "bt", "bu", "bv", "bs", "bver")
_RESOLVED = frozenset((*_BASE, "n", "u", "v", "vb", "vs", "vd", "s", "t"))
_VALUES = ("v", "vb", "vs", "vd")
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

    __slots__ = ("base", "document", "max_future_s", "received")

    def __init__(self, received: datetime, max_future_s: int) -> None:
        self.received, self.max_future_s = received, max_future_s
        self.base: dict[str, Any] = {}
        self.document: dict[str, Any] = {"records": [], "value": {}, "unit": {}}

    def resolve(self, pack: list[Any]) -> Document:
        for index, record in enumerate(pack):
            if not isinstance(record, dict):
                raise FormatError(f"[{index}]", _NOT_AN_ARRAY)
            _check(record, index)
            self._take_base(record)
            if any(name not in _BASE for name in record):
                self._add(record, index)
        return self.document

    def _take_base(self, record: dict[str, Any]) -> None:
        for name in _BASE:
            if name in record:
                self.base[name] = record[name]
        if (base := _device(self.base.get("bn", ""))) and "base" not in self.document:
            self.document["base"] = base
        if "bt" in record and "base_time" not in self.document:
            self.document["base_time"] = self._time(record["bt"])

    def _add(self, record: dict[str, Any], index: int) -> None:
        resolved = self._resolved(record, index)
        self.document["records"].append(resolved)
        if local := resolved.get("local"):
            if "value" in resolved:
                self.document["value"][local] = resolved["value"]
            if "u" in resolved:
                self.document["unit"][local] = resolved["u"]

    def _resolved(self, record: dict[str, Any], index: int) -> dict[str, Any]:
        base, local = self.base.get("bn", ""), record.get("n", "")
        resolved: dict[str, Any] = {"name": base + local}
        if local:
            resolved["local"] = local
        if device := _device(base):
            resolved["base"] = device
        if unit := record.get("u", self.base.get("bu")):
            resolved["u"] = unit
        self._add_value(resolved, record, index)
        if "t" in record or "bt" in self.base:
            resolved["time"] = self._time(_sum(self.base.get("bt"), record.get("t"), f"[{index}].t"))
        resolved.update({name: value for name, value in record.items() if name not in _RESOLVED})
        return resolved

    def _add_value(self, resolved: dict[str, Any], record: dict[str, Any], index: int) -> None:
        given = [name for name in _VALUES if name in record]
        if len(given) > 1:
            raise FormatError(f"[{index}]", f"{' and '.join(given)}, and should have one value")
        if given and given[0] != "v":
            resolved["value"] = record[given[0]]
        elif given or "bv" in self.base:
            resolved["value"] = _sum(self.base.get("bv"), record.get("v"), f"[{index}].v")
        if "s" in record or "bs" in self.base:
            resolved["sum"] = _sum(self.base.get("bs"), record.get("s"), f"[{index}].s")

    def _time(self, time: float) -> int | float:
        """Absolute. What would be further ahead than allowed is no distance but a clock that was never set: it stays,
        in the 1970s, for the mapping to decide on."""
        if abs(time) >= RELATIVE_BELOW or time > self.max_future_s:
            return time
        return seconds(microseconds_of(self.received) + round(time * 1_000_000))


def _check(record: dict[str, Any], index: int) -> None:
    for name, value in record.items():
        if name == "bver":
            _check_version(value, index)
        elif expected := _TYPES.get(name):
            types, what = expected
            if not isinstance(value, types) or (isinstance(value, bool) and types is _NUMBER):
                raise FormatError(f"[{index}].{name}", what)
        elif name.endswith("_"):
            raise FormatError(
                f"[{index}].{name[:64]}", "a field whose name ends in _ must be understood, and is unknown"
            )


def _check_version(version: Any, index: int) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version <= VERSION:
        raise FormatError(f"[{index}].bver", f"version {str(version)[:16]}, at most {VERSION} is known")


def _device(base: str) -> str:
    """A base name as a device's: `urn:dev:mac:0024befffe804ff1:` without its end."""
    return base.rstrip(BASE_ENDS)


def _sum(base: float | None, number: float | None, where: str) -> int | float:
    """In decimals: 21.1 and 0.2 are 21.3. Of two that are present, else the one that is."""
    if not base or not number:
        return base or number or 0
    if isinstance(base, int) and isinstance(number, int):
        return base + number
    return finite(float(Decimal(repr(base)) + Decimal(repr(number))), where) or 0
