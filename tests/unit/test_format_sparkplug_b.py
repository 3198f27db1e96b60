"""Sparkplug B: each data type, as it is on the wire and after its BIRTH is known."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.formats import check_plain, decoded, refused, sparkplug
from traksense_ingest.writer.decode.formats.document import shortest
from traksense_ingest.writer.decode.formats.sparkplug_b import with_datatype
from traksense_ingest.writer.decode.formats.sparkplug_schema import DATATYPES, Payload

NUMBERS = {name: number for number, name in enumerate(DATATYPES)}


def metric(datatype: str, **given: Any) -> Any:
    """The metric's document."""
    payload = sparkplug([{"name": "m", "datatype": NUMBERS[datatype], **given}])
    document = decoded("sparkplug_b", payload)
    check_plain(document)
    return document["metrics"][0]


VALUES: list[tuple[str, dict[str, Any], Any]] = [
    ("Int8", {"int_value": 0xFF}, -1),
    ("Int8", {"int_value": 0xFFFFFFFF}, -1),
    ("Int8", {"int_value": 0x7F}, 127),
    ("Int16", {"int_value": 0xFFFF}, -1),
    ("Int16", {"int_value": 0xFFFF8000}, -32768),
    ("Int32", {"int_value": 0xFFFFFFDD}, -35),
    ("Int64", {"long_value": 2**64 - 1}, -1),
    ("Int64", {"long_value": 2**63 - 1}, 2**63 - 1),
    ("UInt8", {"int_value": 0xFF}, 255),
    ("UInt16", {"int_value": 0xFFFF}, 65535),
    ("UInt32", {"int_value": 0xFFFFFFFF}, 2**32 - 1),
    ("UInt64", {"long_value": 2**64 - 1}, 2**64 - 1),
    ("Float", {"float_value": 4.2}, 4.2),
    ("Float", {"float_value": float("nan")}, None),
    ("Double", {"double_value": 4.2}, 4.2),
    ("Boolean", {"boolean_value": True}, True),
    ("Boolean", {"int_value": 1}, True),
    ("String", {"string_value": "eco"}, "eco"),
    ("Text", {"string_value": "eco"}, "eco"),
    ("UUID", {"string_value": "9c1d"}, "9c1d"),
    ("DateTime", {"long_value": 1795881600000}, 1795881600000),
    ("Bytes", {"bytes_value": b"\x00\xff"}, "00ff"),
    ("File", {"bytes_value": b"ab"}, "6162"),
    ("Int8Array", {"bytes_value": b"\x01\xff"}, [1, -1]),
    ("Int16Array", {"bytes_value": b"\x01\x00\xff\xff"}, [1, -1]),
    ("Int32Array", {"bytes_value": struct.pack("<2i", 7, -7)}, [7, -7]),
    ("Int64Array", {"bytes_value": struct.pack("<2q", 7, -7)}, [7, -7]),
    ("UInt8Array", {"bytes_value": b"\x01\xff"}, [1, 255]),
    ("UInt16Array", {"bytes_value": b"\x01\x00\xff\xff"}, [1, 65535]),
    ("UInt32Array", {"bytes_value": struct.pack("<I", 2**32 - 1)}, [2**32 - 1]),
    ("UInt64Array", {"bytes_value": struct.pack("<Q", 2**64 - 1)}, [2**64 - 1]),
    ("FloatArray", {"bytes_value": struct.pack("<2f", 4.2, float("nan"))}, [4.2, None]),
    ("DoubleArray", {"bytes_value": struct.pack("<d", 4.2)}, [4.2]),
    ("BooleanArray", {"bytes_value": b"\x0a\0\0\0\x81\x40"}, [True, *[False] * 6, True, False, True]),
    ("StringArray", {"bytes_value": b"a\0\xc3\xa9\0"}, ["a", "é"]),
    ("DateTimeArray", {"bytes_value": struct.pack("<q", 1795881600000)}, [1795881600000]),
    ("Unknown", {"int_value": 7}, 7),
]


@pytest.mark.parametrize(("datatype", "given", "value"), VALUES)
def test_a_value_of_each_type(datatype: str, given: dict[str, Any], value: Any) -> None:
    found = metric(datatype, **given)["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("datatype", "given", "value"), VALUES)
def test_a_metric_with_an_alias_alone_is_completed_by_its_birth(datatype: str, given: Any, value: Any) -> None:
    (found,) = decoded("sparkplug_b", sparkplug([{"alias": 7, **given}]))["metrics"]
    assert not {"name", "datatype"} & found.keys()
    completed = with_datatype(found, "m", datatype)
    assert completed == found | {"name": "m", "datatype": datatype, "value": value}


def test_every_type_has_a_case() -> None:
    nested = {"DataSet", "Template", "PropertySet", "PropertySetList"}
    assert {name for name, _, _ in VALUES} | nested == set(DATATYPES)


def test_flags_times_and_properties() -> None:
    properties = {
        "keys": ["engUnit", "low", "none", "more"],
        "values": [
            {"type": 12, "string_value": "°C"},
            {"type": 3, "int_value": 0xFFFFFFFF},
            {"type": 3, "is_null": True},
            {"type": 20, "propertyset_value": {"keys": ["a"], "values": [{"type": 9, "float_value": 0.1}]}},
        ],
    }
    assert metric("Float", timestamp=7, is_historical=True, is_transient=True, is_null=True, properties=properties) == {
        "name": "m",
        "timestamp": 7,
        "datatype": "Float",
        "value": None,
        "is_null": True,
        "is_historical": True,
        "is_transient": True,
        "properties": {"engUnit": "°C", "low": -1, "none": None, "more": {"a": 0.1}},
    }


def test_a_data_set_is_a_list_of_rows() -> None:
    rows = [{"elements": [{"int_value": 0xFFFFFFFF}, {"string_value": "a"}]}, {"elements": [{"int_value": 1}]}]
    dataset = {"num_of_columns": 2, "columns": ["n", "s"], "types": [3, 12], "rows": rows}
    assert metric("DataSet", dataset_value=dataset)["value"] == [{"n": -1, "s": "a"}, {"n": 1}]


def test_a_template_is_an_object() -> None:
    template = {
        "parameters": [{"name": "rated", "type": 9, "float_value": 1.1}],
        "metrics": [{"name": "rpm", "datatype": 1, "int_value": 255}, {"name": "off", "is_null": True}],
    }
    assert metric("Template", template_value=template)["value"] == {"rated": 1.1, "rpm": -1, "off": None}


def test_controls_and_the_birth_sequence_are_no_metrics() -> None:
    names = ("bdSeq", "Node Control/Rebirth", "Device Control/Reboot", "temp")
    document = decoded("sparkplug_b", sparkplug([{"name": name, "long_value": 4} for name in names]))
    assert (document["timestamp"], document["seq"], document["bd_seq"]) == (1795881600000, 3, 4)
    assert [item["name"] for item in document["metrics"]] == ["temp"]
    assert [item["name"] for item in document["controls"]] == ["Node Control/Rebirth", "Device Control/Reboot"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "payload: not a Sparkplug payload: "),
        (b"online", "payload: not a Sparkplug payload: "),
        (b"h7", "payload: it has no field of a Sparkplug payload"),
        (sparkplug([{"name": "a"}, {"float_value": float("inf")}]), "metrics[1]: Input should be a finite number"),
        (sparkplug([{"datatype": 24, "bytes_value": b"abc"}]), "metrics[0]: 3 bytes, an array's items have 4 each"),
        (
            sparkplug([{"datatype": 32, "bytes_value": b"\xff\xff\xff\xff\1"}]),
            "metrics[0]: 5 bytes, which is not the size of an array",
        ),
        (sparkplug([{"datatype": 32, "bytes_value": b""}]), "metrics[0]: 0 bytes, which is not the size of an array"),
        (sparkplug([{"datatype": 33, "bytes_value": b"a"}]), "metrics[0]: the last string of an array has no NUL"),
        (sparkplug([{"datatype": 33, "bytes_value": b"\xff\0"}]), "payload: not a Sparkplug payload: 'utf-8' codec"),
        (b"\x12\x03\x0a\x01\xff", "payload: not a Sparkplug payload: "),
    ],
)
def test_what_is_wrong(payload: bytes, reason: str) -> None:
    assert refused("sparkplug_b", payload).startswith(f"parse_error: {reason}")


def test_more_metrics_than_v1_has_points() -> None:
    assert refused("sparkplug_b", b"\x12\x00" * 10_001) == (
        "payload_too_large: payload: 10001 metrics, at most 10000 are allowed"
    )


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(999999986991104.0)
def test_the_shortest_decimal_is_the_same_32_bit_float(number: float) -> None:
    found = shortest(number)
    assert struct.pack("f", found) == struct.pack("f", number)
    assert _digits(found) <= _digits(number)


def _digits(number: float) -> int:
    """The significant ones of its shortest decimal; how it is written depends on its size."""
    return len(Decimal(repr(number)).normalize().as_tuple().digits)


@given(st.floats(width=16, allow_nan=False, allow_infinity=False))
def test_the_shortest_decimal_is_the_same_16_bit_float(number: float) -> None:
    assert struct.pack("e", shortest(number, "e")) == struct.pack("e", number)


@given(st.sampled_from([name for name in DATATYPES if name.startswith("Int") and name[3:].isdigit()]), st.data())
def test_signed_integers_come_back(datatype: str, data: st.DataObject) -> None:
    bits = int(datatype[3:])
    number = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    wire = {"long_value": number % 2**64} if bits == 64 else {"int_value": number % 2**bits}
    assert metric(datatype, **wire)["value"] == number


def test_the_schema_is_a_pool_of_its_own() -> None:
    assert Payload.DESCRIPTOR.full_name == "org.eclipse.tahu.protobuf.Payload"
