"""Sparkplug's aliases: what a BIRTH teaches is returned, and is what the messages after it need."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import mapped
from tests.support.mapped import RECEIVED, reason_of, values_of
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.writer.decode.formats.sparkplug_schema import DATATYPES, Payload
from traksense_ingest.writer.decode.mapped.aliases import Publisher, publisher_of
from traksense_ingest.writer.outcome import Birth, BornMetric, Decoded

NOW_MS = 1795881605000


def payload(*metrics: dict[str, Any]) -> bytes:
    message = Payload(timestamp=NOW_MS)
    for metric in metrics:
        message.metrics.add(**metric)
    encoded: bytes = message.SerializeToString()
    return encoded


INT32 = DATATYPES.index("Int32")
BIRTH = payload({"name": "Level", "alias": 3, "datatype": INT32, "int_value": 7})
DATA = payload({"alias": 3, "int_value": 2**32 - 1})


def decoding() -> mapped.Decoding:
    return mapped.Decoding(load("sparkplug?tenant=acme"))


def test_a_birth_teaches_its_aliases_and_data_types() -> None:
    outcome = decoding().outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    assert isinstance(outcome, Decoded)
    assert outcome.birth == Birth("g", "n", "d", RECEIVED, ((3, BornMetric("Level", "Int32")),))


def test_data_after_its_birth() -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    outcome = own.outcome("spBv1.0/g/DDATA/n/d", DATA)
    assert values_of(outcome) == {"Level": -1.0}, "signed, as the BIRTH declares it"
    assert isinstance(outcome, Decoded)
    assert outcome.birth is None


@pytest.mark.parametrize("topic", ["spBv1.0/g/DDATA/n/other", "spBv1.0/g/NDATA/n", "spBv1.0/other/DDATA/n/d"])
def test_another_publishers_aliases_are_not_ones_own(topic: str) -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    assert reason_of(own.outcome(topic, DATA)).startswith("unknown_alias: 3: ")


def test_a_new_birth_replaces_the_old_one() -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    own.outcome("spBv1.0/g/DBIRTH/n/d", payload({"name": "Temp", "alias": 4, "datatype": INT32, "int_value": 7}))
    assert "unknown_alias: 3: " in reason_of(own.outcome("spBv1.0/g/DDATA/n/d", DATA))


def test_a_metric_without_name_and_alias() -> None:
    assert "a metric has neither a name nor an alias" in reason_of(
        decoding().outcome("spBv1.0/g/DDATA/n/d", payload({"int_value": 1}))
    )


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("spBv1.0/g/NBIRTH/n", ("NBIRTH", Publisher("g", "n", ""))),
        ("spBv1.0/g/DDATA/n/d", ("DDATA", Publisher("g", "n", "d"))),
        ("site1/spBv1.0/g/DDATA/n/d", ("DDATA", Publisher("g", "n", "d"))),
        ("x", ("", Publisher("", "", ""))),
    ],
)
def test_the_publisher_in_a_topic(topic: str, expected: tuple[str, Publisher]) -> None:
    assert publisher_of(topic) == expected
