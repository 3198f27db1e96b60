"""What a Sparkplug BIRTH says of the messages that follow it: the names of metrics that have an alias alone, and their
data types.

What follows is pending until its BIRTH is known: the BIRTH may be in the hands of another lane or of another writer.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from traksense_ingest.writer.decode.formats.sparkplug_b import with_datatype
from traksense_ingest.writer.outcome import Birth, BirthKey

BIRTHS = ("NBIRTH", "DBIRTH")
TYPES = (*BIRTHS, "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD")
TRUSTED = timedelta(days=1)  # how far a BIRTH's own timestamp may be before its receipt

CACHE_BYTES = 64 * 1024 * 1024
BIRTH_BYTES = 500  # of memory, besides its names
NAME_BYTES = 200  # of memory for each name, besides its characters

SIGN_BIT = 2**31  # of a number without a type, which may be a negative one from here on


class UnknownAlias(Exception):
    """A metric has an alias, or a number without a type, and no BIRTH of its node or device is known that has it."""

    def __init__(self, tenant_id: str, device_key: str, what: str) -> None:
        super().__init__(f"{what}: no BIRTH of {device_key} is known that has it")
        self.key = tenant_id, device_key


class Names(NamedTuple):
    """What is known of the metrics of a node or a device."""

    born_at: datetime
    names: Mapping[int, str]  # by alias
    types: Mapping[str, str]  # by name


NOTHING = Names(datetime.min.replace(tzinfo=UTC), {}, {})


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
        self._known: OrderedDict[BirthKey, Names] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._bytes = 0

    def learn(self, birth: Birth) -> None:
        """Remember it, unless a later one is known."""
        key = birth.tenant_id, birth.device_key
        if (before := self._known.get(key)) is None or before.born_at <= birth.born_at:
            self._put(key, _parsed(birth))

    def find(self, key: BirthKey) -> Names | None:
        """What is known of a node or a device."""
        if found := self._known.get(key):
            self._known.move_to_end(key)
        return found

    def _put(self, key: BirthKey, names: Names) -> None:
        if before := self._known.pop(key, None):
            self._bytes -= _size(before)
        self._known[key] = names
        self._bytes += _size(names)
        while self._bytes > self._cache_bytes and len(self._known) > 1:
            self._bytes -= _size(self._known.popitem(last=False)[1])


def resolve(document: Any, topic: str, tenant_id: str, received_at: datetime, births: BirthCache) -> Birth | None:
    """Give each metric of a message its name and the value of its type, in place. Of a BIRTH: learn it, and return what
    is to be stored of it.

    Raises UnknownAlias, and FormatError where a value is none of its type.
    """
    metrics, (key, type_) = document["metrics"], device_key(topic)
    if type_ in BIRTHS:
        birth = Birth(tenant_id, key, _born_at(document.get("timestamp"), received_at), _aliases(metrics))
        births.learn(birth)
        return birth
    known = births.find((tenant_id, key)) or NOTHING
    metrics[:] = [_completed(metric, known, tenant_id, key) for metric in metrics]
    return None


def _completed(metric: dict[str, Any], known: Names, tenant_id: str, key: str) -> dict[str, Any]:
    name, alias = metric.get("name"), metric.get("alias")
    if name is None and alias is not None:
        name = known.names.get(alias)
        if name is None:
            raise UnknownAlias(tenant_id, key, f"alias {alias}")
    if name is None or "datatype" in metric:
        return metric | {"name": name}
    if (datatype := known.types.get(name)) is not None:
        return with_datatype(metric, name, datatype)
    if type(metric["value"]) is int and metric["value"] >= SIGN_BIT:
        raise UnknownAlias(tenant_id, key, "a number without its type")
    return metric | {"name": name}


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
    names = {str(metric["alias"]): metric["name"] for metric in named if "alias" in metric}
    types = {metric["name"]: metric["datatype"] for metric in named if "datatype" in metric}
    return json.dumps({"names": names, "types": types}, ensure_ascii=False, separators=(",", ":"))


def _parsed(birth: Birth) -> Names:
    """Empty where somebody else has changed the row."""
    try:
        aliases = json.loads(birth.aliases)
        names = {int(alias): str(name) for alias, name in aliases["names"].items()}
        types = {str(name): str(datatype) for name, datatype in aliases["types"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        names, types = {}, {}
    return Names(birth.born_at, names, types)


def _size(names: Names) -> int:
    texts = (*names.names.values(), *names.types)
    return BIRTH_BYTES + sum(NAME_BYTES + len(text) for text in texts)
