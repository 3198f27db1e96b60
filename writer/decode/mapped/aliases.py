"""Sparkplug's aliases: the numbers that stand for metrics' names, which a BIRTH gives and the messages after it need.

What a message teaches is a value, returned with what was decoded: whoever stores the message stores it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from traksense_ingest.writer.decode.formats.document import FormatError
from traksense_ingest.writer.decode.formats.sparkplug_b import with_datatype
from traksense_ingest.writer.outcome import Birth, BornMetric, Poison

NAMESPACE = "spBv1.0"
BIRTHS = ("NBIRTH", "DBIRTH")


class Publisher(NamedTuple):
    """Whose aliases they are; the device is empty for the node's own."""

    group: str
    node: str
    device: str


class Aliases(Protocol):
    """What is known of all publishers."""

    def find(self, publisher: Publisher, alias: int) -> BornMetric | None:
        """The metric that an alias stands for."""

    def learn(self, birth: Birth) -> None:
        """Replace what is known of a publisher by what its BIRTH says."""


class AliasesInMemory:
    """Of one process, for as long as it runs: for tests and tools."""

    def __init__(self) -> None:
        self._metrics: dict[Publisher, Mapping[int, BornMetric]] = {}

    def find(self, publisher: Publisher, alias: int) -> BornMetric | None:
        """See Aliases."""
        return self._metrics.get(publisher, {}).get(alias)

    def learn(self, birth: Birth) -> None:
        """See Aliases."""
        self._metrics[Publisher(birth.group, birth.node, birth.device)] = dict(birth.metrics)


def publisher_of(topic: str) -> tuple[str, Publisher]:
    """The type of a Sparkplug message and its publisher, from spBv1.0/{group}/{type}/{node}[/{device}]: also behind
    a prefix, where a bridge has put one before it."""
    levels = topic.split("/")
    start = levels.index(NAMESPACE) if NAMESPACE in levels else 0
    group, type_, node, *device = [*levels[start + 1 :], "", "", ""][: max(3, len(levels) - start - 1)]
    return type_, Publisher(group, node, "/".join(device))


def with_names(
    document: dict[str, Any], topic: str, aliases: Aliases, received_at: datetime, label: str
) -> tuple[dict[str, Any], Birth | None]:
    """The same document, its type in `message`, with a name and a data type for each metric; and what it teaches, if it
    is a BIRTH. Raises Poison("unknown_alias")."""
    type_, publisher = publisher_of(topic)
    document["message"] = type_
    metrics = document.get("metrics") or []
    if type_ in BIRTHS:
        born = tuple(
            (metric["alias"], BornMetric(metric["name"], metric.get("datatype", "Unknown")))
            for metric in metrics
            if "alias" in metric and metric.get("name")
        )
        return document, Birth(*publisher, received_at, born)
    if any(not metric.get("name") for metric in metrics):
        document["metrics"] = [_named(metric, publisher, aliases, label) for metric in metrics]
    return document, None


def _named(metric: dict[str, Any], publisher: Publisher, aliases: Aliases, label: str) -> dict[str, Any]:
    if metric.get("name"):
        return metric
    alias = metric.get("alias")
    if alias is None:
        raise Poison("parse_error", f"{label}: metrics", "a metric has neither a name nor an alias")
    known = aliases.find(publisher, alias)
    if known is None:
        raise Poison("unknown_alias", "", f"{alias}: {label}: no BIRTH of {'/'.join(filter(None, publisher))} names it")
    try:
        return with_datatype(metric, known.name, metric.get("datatype") or known.datatype)
    except FormatError as error:
        raise Poison(error.reason, f"{label}: {error.where}", error.what) from None
