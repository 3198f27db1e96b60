"""SenML (RFC 8428), resolved."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.formats import RECEIVED, check_plain, decoded, refused
from traksense_ingest.writer.decode.formats import FormatError

NOW = RECEIVED.timestamp()


def resolved(*pack: Any) -> Any:
    return decoded("senml", json.dumps(pack).encode())


def record(*pack: Any) -> Any:
    """The last one."""
    return resolved(*pack)["records"][-1]


def test_base_fields_hold_until_they_are_replaced() -> None:
    document = resolved(
        {"bn": "urn:dev:mac:0024:", "bt": 1795881600.5, "bu": "Cel", "bver": 5, "n": "temp", "v": 21.5},
        {"n": "temp", "t": -60, "v": 21.25},
        {"n": "hum", "u": "%RH", "v": 40.5},
        {"bn": "other_", "n": "open", "vb": True},
    )
    assert document["base"] == "urn:dev:mac:0024"
    assert document["base_time"] == 1795881600.5
    assert document["value"] == {"temp": 21.25, "hum": 40.5, "open": True}
    assert document["unit"] == {"temp": "Cel", "hum": "%RH", "open": "Cel"}
    assert [item["name"] for item in document["records"]] == [
        *("urn:dev:mac:0024:temp", "urn:dev:mac:0024:temp", "urn:dev:mac:0024:hum", "other_open"),
    ]
    assert [item["base"] for item in document["records"]] == ["urn:dev:mac:0024"] * 3 + ["other"]
    assert [item["time"] for item in document["records"]] == [1795881600.5, 1795881540.5, 1795881600.5, 1795881600.5]


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"t": -10}, NOW - 10),
        ({"t": 0}, NOW),
        ({"bt": -5, "t": -10.5}, NOW - 15.5),
        ({"bt": 1795881600, "t": 2.5}, 1795881602.5),
        ({"t": 2**28 - 1}, 2**28 - 1),
        ({"bt": 126144000}, 126144000),
        ({"t": 86400}, NOW + 86400),
        ({"bt": 1795881600.1, "t": 0.2}, 1795881600.3),
        ({"t": -1e300}, -1e300),
    ],
)
def test_times_below_2_to_the_28_are_relative_to_the_receipt(fields: dict[str, float], time: float) -> None:
    """… but those that would be further ahead than a message may be: a clock that began in 1970 and was never set."""
    assert record({"n": "a", "v": 1} | fields)["time"] == time


def test_without_any_time_there_is_none() -> None:
    assert "time" not in record({"n": "a", "v": 1})
    assert "base_time" not in resolved({"n": "a", "v": 1})


def test_values() -> None:
    assert record({"bv": 21.1, "n": "a", "v": 0.2})["value"] == 21.3
    assert record({"bv": 20, "n": "a"})["value"] == 20
    assert record({"n": "a", "vs": "eco"})["value"] == "eco"
    assert record({"n": "a", "vd": "aGk"})["value"] == "aGk"
    assert record({"bv": 5, "n": "a", "vb": False})["value"] is False
    assert record({"n": "a", "s": 7})["sum"] == 7
    assert record({"bs": 5, "n": "a", "v": 1, "s": 7})["sum"] == 12
    assert record({"n": "a", "v": 1, "ut": 30, "maker": "x"}) == {
        "name": "a",
        "local": "a",
        "value": 1,
        "ut": 30,
        "maker": "x",
    }


def test_names() -> None:
    assert record({"bn": "urn:dev:ow:10e2:", "v": 23.1}) == {
        "name": "urn:dev:ow:10e2:",
        "base": "urn:dev:ow:10e2",
        "value": 23.1,
    }
    assert "base" not in resolved({"bn": "", "n": "Câmara fria 2", "v": 1})
    assert resolved({"bn": "", "n": "a", "v": 1}, {"bn": "b_", "n": "a", "v": 1})["base"] == "b"


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ({"temp": 4}, "payload: Input should be an array of SenML records"),
        ([7], "[0]: Input should be an array of SenML records"),
        ([{"bver": 11}], "[0].bver: version 11, at most 10 is known"),
        ([{"bver": True}], "[0].bver: version True, at most 10 is known"),
        ([{"n": "a"}, {"n": "t", "v": "1"}], "[1].v: Input should be a number"),
        ([{"n": "t", "v": True}], "[0].v: Input should be a number"),
        ([{"n": "t", "vb": 1}], "[0].vb: Input should be a boolean"),
        ([{"n": 7}], "[0].n: Input should be a string"),
        ([{"v": 1, "vs": "1"}], "[0]: v and vs, and should have one value"),
        ([{"x_": 2}], "[0].x_: a field whose name ends in _ must be understood, and is unknown"),
        ([{"bn": "a" * 513}], "[0].bn: 513 characters, at most 512 are allowed"),
        ([{"bv": 1e308, "v": 1e308}], "[0].v: Input should be a finite number"),
    ],
)
def test_what_is_wrong(pack: Any, reason: str) -> None:
    assert refused("senml", json.dumps(pack).encode()) == f"parse_error: {reason}"


moderate = st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9)
numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x", "x_"]
)


@given(st.lists(st.dictionaries(names, numbers | st.text(max_size=5) | st.booleans(), max_size=6), max_size=5))
def test_any_pack(pack: Any) -> None:
    with suppress(FormatError):
        check_plain(resolved(*pack))


valid = st.fixed_dictionaries(
    {"n": st.text(min_size=1, max_size=4)},
    optional={"v": moderate, "bt": moderate, "t": moderate, "u": st.text(max_size=3), "bn": st.text(max_size=3)},
)


@given(st.lists(valid, min_size=1, max_size=5))
def test_a_valid_pack_has_as_many_records(pack: Any) -> None:
    assert [item["local"] for item in resolved(*pack)["records"]] == [item["n"] for item in pack]


bases = {
    "bn": st.sampled_from(["dev_", ""]),
    "bt": st.sampled_from([1795881600, -60]),
    "bu": st.sampled_from(["V", ""]),
    "bv": st.just(1),
    "bs": st.just(2),
}
readings = {
    "n": st.sampled_from(["a", "b", ""]),
    "u": st.sampled_from(["Cel", ""]),
    "v": st.sampled_from([1, 2.5]),
    "vs": st.sampled_from(["on", ""]),
    "t": st.just(5),
}
packs = st.tuples(
    st.fixed_dictionaries(
        {"bn": st.sampled_from(["dev_", "_"]), "bt": st.just(1795881600)}, optional={"bu": st.just("V")}
    ),
    st.lists(
        st.one_of(
            st.fixed_dictionaries({}, optional=readings),
            st.fixed_dictionaries({"n": readings["n"], "u": readings["u"], "v": readings["v"]}),
            st.fixed_dictionaries({"n": st.just("a"), "vs": st.just("on")}),
            st.fixed_dictionaries({}, optional=bases | readings),
        ),
        max_size=6,
    ),
)


@given(packs.map(lambda pack: [pack[0], *pack[1]]))
@example([{"bn": "_", "bt": 1795881600}, {"n": "a", "u": "Cel", "v": 1}])
@example([{"bn": "dev_", "bt": 1795881600}, {"n": "a", "u": "", "v": 1}])
@example([{"bn": "dev_", "bt": 1795881600, "bu": "V"}, {"n": "a", "vs": "on"}])
def test_what_is_usual_is_resolved_as_everything_else(pack: list[dict[str, Any]]) -> None:
    def document(pack: list[dict[str, Any]]) -> Any:
        try:
            return resolved(*pack)
        except FormatError as error:
            return str(error)

    unusual = document([{**record, "ut": 0} if {"v", "vs"} & record.keys() else record for record in pack])
    for record in unusual["records"] if isinstance(unusual, dict) else []:
        record.pop("ut", None)
    assert document(pack) == unusual
