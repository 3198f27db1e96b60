"""What a Sparkplug BIRTH says of the messages that follow it: the names of metrics that have an alias alone, and which
numbers are signed.

What follows is pending until its BIRTH is known: the BIRTH may be in the hands of another lane or of another writer.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

BIRTHS = ("NBIRTH", "DBIRTH")
TYPES = (*BIRTHS, "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD")
TRUSTED = timedelta(days=1)  # how far a BIRTH's own timestamp may be before its receipt

CACHE_BYTES = 64 * 1024 * 1024
BIRTH_BYTES = 500  # of memory, besides its names
NAME_BYTES = 200  # of memory for each name, besides its characters

_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # of the signed integer types: Int8, Int16, Int32, Int64

Key = tuple[str, str]  # tenant, and what the node or device is called: see `device_key`


class UnknownAlias(Exception):
    """A metric has an alias, or a number without a type, and no BIRTH of its node or device is known that has it."""

    def __init__(self, tenant_id: str, device_key: str, what: str) -> None:
        super().__init__(f"{what}: no BIRTH of {device_key} is known that has it")
        self.key = tenant_id, device_key


class Birth(NamedTuple):
    """A row of sparkplug_birth. Of two of a device the one that was born later counts."""

    tenant_id: str
    device_key: str
    born_at: datetime
    aliases: str  # JSON: names by alias, and the type of each name that has a signed one


class Names(NamedTuple):
    """What is known of the metrics of a node or a device."""

    born_at: datetime
    names: Mapping[int, str]  # by alias
    types: Mapping[str, int]  # of the signed ones, by name


def device_key(topic: str) -> tuple[str, str]:
    """The levels of a topic but for the type of message, which is the second text; empty where it has none."""
    levels = topic.split("/")
    for index in range(1, len(levels)):
        if levels[index] in TYPES:
            return "/".join((*levels[:index], *levels[index + 1 :])), levels[index]
    return topic, ""


class BirthCache:
    """The last BIRTH of each node and device that this process has seen or read. Shared by its lanes."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._known: OrderedDict[Key, Names] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._bytes = 0

    def learn(self, birth: Birth) -> None:
        """Remember it, unless a later one is known."""
        key = birth.tenant_id, birth.device_key
        if (before := self._known.get(key)) is None or before.born_at <= birth.born_at:
            self._put(key, _parsed(birth))

    def find(self, key: Key) -> Names | None:
        """What is known of a node or a device."""
        if found := self._known.get(key):
            self._known.move_to_end(key)
        return found

    def _put(self, key: Key, names: Names) -> None:
        if before := self._known.pop(key, None):
            self._bytes -= _size(before)
        self._known[key] = names
        self._bytes += _size(names)
        while self._bytes > self._cache_bytes and len(self._known) > 1:
            self._bytes -= _size(self._known.popitem(last=False)[1])


def resolve(document: Any, topic: str, tenant_id: str, received_at: datetime, births: BirthCache) -> Birth | None:
    """Give each metric of a message its name, and its sign: in place. Of a BIRTH, which is learnt, what is to be stored.

    Raises UnknownAlias.
    """
    metrics = [metric for metric in document["metrics"] if isinstance(metric, dict)]
    key, type_ = device_key(topic)
    if type_ in BIRTHS:
        birth = Birth(tenant_id, key, _born_at(document.get("timestamp"), received_at), _aliases(metrics))
        births.learn(birth)
        return birth
    known = births.find((tenant_id, key))
    for metric in metrics:
        _complete(metric, known, tenant_id, key)
    return None


def _complete(metric: dict[str, Any], known: Names | None, tenant_id: str, key: str) -> None:
    name, alias = metric.get("name"), metric.get("alias")
    if name is None and alias is not None:
        name = known.names.get(alias) if known else None
        if name is None:
            raise UnknownAlias(tenant_id, key, f"alias {alias}")
        metric["name"] = name
    value = metric.get("value")
    if metric.get("datatype") is None and type(value) is int and value >= 2**7:
        metric["value"] = _signed(value, known.types.get(name) if known and name else None)


def _signed(value: int, datatype: int | None) -> int:
    """Two's complement in as many bits as its type has, or in 32 with the sign extended."""
    bits = _BITS.get(datatype or 0)
    if bits is None:
        return value
    if bits < 32 and value >= 2**31:
        bits = 32
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def _born_at(timestamp: Any, received_at: datetime) -> datetime:
    """Its own timestamp, which a redelivery repeats, unless the device's clock is wrong: ahead of the receipt or far
    behind it. A clock that was ahead once must not keep later BIRTHs out."""
    if type(timestamp) is int:
        before = received_at - TRUSTED
        ms = timestamp - int(before.timestamp() * 1000)
        if 0 <= ms <= TRUSTED // timedelta(milliseconds=1):
            return before + timedelta(milliseconds=ms)
    return received_at


def _aliases(metrics: Iterable[Mapping[str, Any]]) -> str:
    named = [metric for metric in metrics if isinstance(metric.get("name"), str) and "\0" not in metric["name"]]
    names = {str(metric["alias"]): metric["name"] for metric in named if metric.get("alias") is not None}
    types = {metric["name"]: metric["datatype"] for metric in named if metric.get("datatype") in _BITS}
    return json.dumps({"names": names, "types": types}, ensure_ascii=False, separators=(",", ":"))


def _parsed(birth: Birth) -> Names:
    """Empty where somebody else has changed the row."""
    try:
        aliases = json.loads(birth.aliases)
        names = {int(alias): str(name) for alias, name in aliases["names"].items()}
        types = {str(name): int(datatype) for name, datatype in aliases["types"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        names, types = {}, {}
    return Names(birth.born_at, names, types)


def _size(names: Names) -> int:
    texts = (*names.names.values(), *names.types)
    return BIRTH_BYTES + sum(NAME_BYTES + len(text) for text in texts)
