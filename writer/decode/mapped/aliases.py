"""What a Sparkplug BIRTH says of the messages that follow it: the metrics that their aliases stand for, and the data
types of those that come without.

It is known by the levels of its topic but for the type of message, which no other device can publish to. What a message
teaches is a value, returned with what was decoded: whoever stores the message stores it as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from traksense_ingest.writer.decode.formats.document import FormatError
from traksense_ingest.writer.decode.formats.sparkplug_b import with_datatype
from traksense_ingest.writer.outcome import Birth, BornMetric, NamedBy, Poison

NAMESPACE = "spBv1.0"
BIRTHS = ("NBIRTH", "DBIRTH")
TYPES = frozenset((*BIRTHS, "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD"))
SIGN_BIT = 2**31  # of a number without a type, which may be a negative one from here on

CACHE_BYTES = 64 * 1024 * 1024
BIRTH_BYTES = 700  # of memory, besides its metrics
METRIC_BYTES = 400  # of memory, besides its name


class UnknownAlias(Poison):
    """No BIRTH is known that says what a metric is: another lane or writer may be about to store one."""

    def __init__(self, device_key: str, what: str, label: str) -> None:
        super().__init__("unknown_alias", what, f"{label}: no BIRTH of {device_key} is known that has it")
        self.device_key = device_key


class Known(NamedTuple):
    """The last BIRTH of a node or a device."""

    born_at: datetime
    by_alias: Mapping[int, BornMetric]
    datatypes: Mapping[str, str]  # by name

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        names = (*self.datatypes, *(metric.name for metric in self.by_alias.values()))
        return BIRTH_BYTES + sum(METRIC_BYTES + len(name) for name in names)


class Aliases:
    """The last BIRTH of each node and device that this process has seen or read, as many as fit into some memory."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._bytes = 0

    def find(self, device_key: str) -> Known | None:
        """What is known of a node or a device."""
        if found := self._known.get(device_key):
            self._known.move_to_end(device_key)
        return found

    def learn(self, birth: Birth) -> None:
        """Remember it, unless a later one is known."""
        before = self._known.get(birth.device_key)
        if before is not None:
            if before.born_at > birth.born_at:
                return
            self._bytes -= self._known.pop(birth.device_key).size
        by_alias = {metric.alias: metric for metric in birth.metrics if metric.alias is not None}
        known = Known(birth.born_at, by_alias, {metric.name: metric.datatype for metric in birth.metrics})
        self._known[birth.device_key] = known
        self._bytes += known.size
        while self._bytes > self._cache_bytes and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1].size

    def forget(self) -> None:
        """Start again."""
        self._known.clear()
        self._bytes = 0


def device_of(topic: str) -> tuple[str, str]:
    """The type of a Sparkplug message, and its topic without that level; no type where it has none."""
    levels = topic.split("/")
    first = levels.index(NAMESPACE) + 2 if NAMESPACE in levels else 1  # a group may have a type's name
    for index in range(first, len(levels)):
        if levels[index] in TYPES:
            return levels[index], "/".join((*levels[:index], *levels[index + 1 :]))
    return "", topic


class Named(NamedTuple):
    """A document whose metrics have names and data types."""

    document: dict[str, Any]
    birth: Birth | None = None  # the message is one
    named_by: NamedBy | None = None  # the BIRTH that the names or data types are from


def with_names(
    document: dict[str, Any], topic: str, aliases: Aliases, received_at: datetime, tenant_id: str | None, label: str
) -> Named:
    """The same document, its type in `message`, with a name and a data type for each metric; raises Poison, and
    UnknownAlias.

    BIRTHs are ordered by when receivers got them, which a redelivery and a replay repeat: a device's own clock may have
    been ahead before.
    """
    type_, device_key = device_of(topic)
    document["message"] = type_
    metrics = document.get("metrics") or []
    if type_ in BIRTHS:
        return Named(document, Birth(device_key, received_at, tuple(_born(metrics)), tenant_id))
    if all("datatype" in metric and metric.get("name") for metric in metrics):
        return Named(document)
    known = aliases.find(device_key)
    named_by = NamedBy(device_key, known.born_at) if known else None
    try:
        document["metrics"] = [_named(metric, known, device_key, label) for metric in metrics]
    except Poison as poison:
        poison.named_by = named_by
        raise
    return Named(document, named_by=named_by)


def _named(metric: dict[str, Any], known: Known | None, device_key: str, label: str) -> dict[str, Any]:
    name, datatype = metric.get("name"), metric.get("datatype")
    if not name:
        born = _of_alias(metric, known, device_key, label)
        name, datatype = born.name, datatype or born.datatype
    elif datatype is None:
        datatype = known.datatypes.get(name) if known else None
        if datatype is None and type(metric["value"]) is int and metric["value"] >= SIGN_BIT:
            raise UnknownAlias(device_key, f"data type of {name}", label)
    try:
        return with_datatype(metric, name, datatype) if datatype else metric
    except FormatError as error:
        raise Poison(error.reason, f"{label}: {error.where}", error.what) from None


def _of_alias(metric: dict[str, Any], known: Known | None, device_key: str, label: str) -> BornMetric:
    alias = metric.get("alias")
    if alias is None:
        raise Poison("parse_error", f"{label}: metrics", "a metric has neither a name nor an alias")
    born = known.by_alias.get(alias) if known else None
    if born is None:
        raise UnknownAlias(device_key, str(alias), label)
    return born


def _born(metrics: Iterable[dict[str, Any]]) -> Iterable[BornMetric]:
    for metric in metrics:
        name = metric.get("name")
        if name and "\0" not in name:
            yield BornMetric(name, metric.get("datatype", "Unknown"), metric.get("alias"))
