"""The vendor format parsec_v1: its fields become points."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.decoding import TS, decoded, reason
from tests.support.rows import measures_in


@pytest.mark.parametrize(
    ("message", "points"),
    [
        ({"di1": 1}, [("status", None, None, "RUN", None)]),
        ({"di2": 0}, [("fault", None, False, None, None)]),
        ({"di2": 1.0}, [("fault", None, True, None, None)]),
        (
            {"di1": 0, "di2": 1, "rssi": -68.5},
            [
                ("status", None, None, "STOP", None),
                ("fault", None, True, None, None),
                ("rssi", -68.5, None, None, "dBm"),
            ],
        ),
        ({"di1": 1, "rssi": None, "fw": None}, [("status", None, None, "RUN", None)]),
    ],
)
def test_parsec_v1(message: dict[str, Any], points: list[tuple[Any, ...]]) -> None:
    rows = measures_in(decoded(json.dumps({"ts": TS} | message)))
    assert [(row.point_id, row.v_num, row.v_bool, row.v_text, row.unit) for row in rows] == points
    assert {row.meta for row in rows} == {'{"src":"parsec_v1"}'}


def test_parsec_firmware_goes_to_meta() -> None:
    (row,) = measures_in(decoded(json.dumps({"ts": TS, "di1": 1, "fw": "1.2.3"})))
    assert json.loads(row.meta or "") == {"src": "parsec_v1", "fw": "1.2.3"}


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"di1": 2}, "di1: 2 is not in the map, which has 1, 0"),
        ({"di1": True}, "di1: "),
        ({"di1": "1"}, "di1: "),
        ({"di1": 1, "rssi": "x"}, "rssi: "),
        ({"di1": 1, "rssi": True}, "rssi: "),
        ({"di1": 1, "fw": "\0"}, "meta: "),
        ({"di1": 1, "ts": "2025-10-07T15:30:00"}, "ts: "),
    ],
)
def test_a_bad_parsec_message_is_poison(message: dict[str, Any], where: str) -> None:
    assert reason(json.dumps({"ts": TS} | message)).startswith(f"parse_error: parsec/status: {where}")


def test_without_an_input_it_is_no_parsec_message() -> None:
    assert reason(json.dumps({"ts": TS, "rssi": -68, "fw": "1"})).startswith("parse_error: schema: missing")


def test_an_infinite_rssi_is_poison() -> None:
    assert reason('{"ts":"2025-10-07T15:30:00Z","di1":1,"rssi":1e999}').startswith("parse_error: ")
