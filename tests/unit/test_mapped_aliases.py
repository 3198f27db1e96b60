"""Sparkplug's aliases: what a BIRTH teaches is returned, and is what the messages after it need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import mapped
from tests.support.mapped import RECEIVED, reason_of, values_of
from tests.support.sparkplug import INT32, NOW_MS, payload
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.writer.decode.formats.sparkplug_schema import DATATYPES, Payload
from traksense_ingest.writer.decode.mapped.aliases import Aliases, device_of
from traksense_ingest.writer.outcome import Birth, BornMetric, Decoded, Rejected
from traksense_ingest.writer.store.births import births_used

BORN = datetime(2026, 11, 28, 16, 0, 5, tzinfo=UTC)


BIRTH = payload({"name": "Level", "alias": 3, "datatype": INT32, "int_value": 7})
DATA = payload({"alias": 3, "int_value": 2**32 - 1})


def decoding() -> mapped.Decoding:
    return mapped.Decoding(load("sparkplug?tenant=acme"))


def test_a_birth_teaches_its_aliases_and_data_types() -> None:
    outcome = decoding().outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    assert isinstance(outcome, Decoded)
    assert outcome.birth == Birth("spBv1.0/g/n/d", RECEIVED, (BornMetric("Level", "Int32", 3),), "acme")


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
        ("spBv1.0/g/NBIRTH/n", ("NBIRTH", "spBv1.0/g/n")),
        ("spBv1.0/g/DDATA/n/d", ("DDATA", "spBv1.0/g/n/d")),
        ("site1/spBv1.0/g/DDATA/n/d", ("DDATA", "site1/spBv1.0/g/n/d")),
        ("x", ("", "x")),
    ],
)
def test_the_device_in_a_topic(topic: str, expected: tuple[str, str]) -> None:
    assert device_of(topic) == expected


def test_a_name_without_a_data_type_has_the_one_of_its_birth() -> None:
    """As Sparkplug 3.0 has it: a data type comes with the BIRTH alone."""
    own = decoding()
    data = payload({"name": "Level", "int_value": 2**32 - 1})
    assert "unknown_alias: data type of Level" in reason_of(own.outcome("spBv1.0/g/DDATA/n/d", data))
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    assert values_of(own.outcome("spBv1.0/g/DDATA/n/d", data)) == {"Level": -1.0}


def test_a_number_that_can_only_be_itself_needs_no_birth() -> None:
    data = payload({"name": "Level", "int_value": 7})
    assert values_of(decoding().outcome("spBv1.0/g/DDATA/n/d", data)) == {"Level": 7.0}


def test_a_birth_counts_though_the_devices_clock_went_back() -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    later = payload({"name": "Pressure", "alias": 3, "datatype": INT32, "int_value": 7})
    message = Payload.FromString(later)
    message.timestamp = NOW_MS - 3 * 3_600_000
    own.outcome("spBv1.0/g/DBIRTH/n/d", message.SerializeToString(), RECEIVED + timedelta(seconds=1))
    assert values_of(own.outcome("spBv1.0/g/DDATA/n/d", DATA)) == {"Pressure": -1.0}


def test_a_birth_whose_rows_are_refused_says_what_aliases_are() -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    name = {"name": "x" * 300, "alias": 4, "datatype": INT32, "int_value": 1}
    refused = payload(name, {"name": "Pressure", "alias": 3, "datatype": INT32, "int_value": 7})
    outcome = own.outcome("spBv1.0/g/DBIRTH/n/d", refused)
    assert isinstance(outcome, Rejected)
    assert outcome.birth is not None
    assert values_of(own.outcome("spBv1.0/g/DDATA/n/d", DATA)) == {"Pressure": -1.0}


def test_a_message_says_by_which_birth_it_was_read() -> None:
    own = decoding()
    own.outcome("spBv1.0/g/DBIRTH/n/d", BIRTH)
    data = own.outcome("spBv1.0/g/DDATA/n/d", DATA)
    assert births_used([data]) == {"spBv1.0/g/n/d": RECEIVED}
    assert births_used([own.outcome("spBv1.0/g/DDATA/n/other", DATA)]) == {"spBv1.0/g/n/other": None}
    named = payload({"name": "Level", "datatype": INT32, "int_value": 7})
    assert births_used([own.outcome("spBv1.0/g/DDATA/n/d", named)]) == {}


@pytest.mark.parametrize("value", [{"string_value": "zz"}, {"bytes_value": b"\xff\0"}])
def test_an_array_that_is_none_is_poison(value: dict[str, Any]) -> None:
    own = decoding()
    texts = DATATYPES.index("StringArray")
    own.outcome(
        "spBv1.0/g/DBIRTH/n/d", payload({"name": "Texts", "alias": 3, "datatype": texts, "bytes_value": b"a\0"})
    )
    assert "can't be read as StringArray" in reason_of(
        own.outcome("spBv1.0/g/DDATA/n/d", payload({"alias": 3, **value}))
    )


def test_a_group_may_have_the_name_of_a_type() -> None:
    assert device_of("spBv1.0/NDATA/NBIRTH/e") == ("NBIRTH", "spBv1.0/NDATA/e")
    assert device_of("site/spBv1.0/g/DDATA/n/d") == ("DDATA", "site/spBv1.0/g/n/d")


def test_an_older_birth_replaces_no_newer_one() -> None:
    aliases = Aliases()
    aliases.learn(Birth("d", BORN, (BornMetric("new", "Int32", 1),)))
    aliases.learn(Birth("d", BORN - timedelta(seconds=1), (BornMetric("old", "Int32", 1),)))
    known = aliases.find("d")
    assert known is not None
    assert known.by_alias[1].name == "new"


def test_what_is_known_is_bounded_and_what_was_used_last_stays() -> None:
    aliases = Aliases(cache_bytes=50_000)
    for number in range(100):
        aliases.learn(Birth(f"d{number}", BORN, (BornMetric("x" * 100, "Int32", 1),)))
        aliases.find("d0")
    assert aliases.find("d0") is not None
    assert aliases.find("d1") is None
    assert aliases.find("d99") is not None


def test_a_message_that_is_refused_by_the_data_type_of_a_birth_names_that_birth() -> None:
    """Another writer may have stored a later one, by which it is right."""
    own = decoding()
    array = DATATYPES.index("Int32Array")
    own.outcome("spBv1.0/g/DBIRTH/n/d", payload({"name": "Levels", "alias": 3, "datatype": array, "bytes_value": b""}))
    refused = own.outcome("spBv1.0/g/DDATA/n/d", payload({"alias": 3, "bytes_value": b"odd"}))
    assert isinstance(refused, Rejected)
    assert births_used([refused]) == {"spBv1.0/g/n/d": RECEIVED}
