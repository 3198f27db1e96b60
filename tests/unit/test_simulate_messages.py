"""The payloads that simulated devices send."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random

from traksense_ingest.ops.simulate.messages import ack_v1, encode, event_v1, parsec_v1, point, rfc3339, ulid
from traksense_ingest.writer.decode.timestamp import parse_timestamp

TS = datetime(2025, 10, 7, 15, 30, 0, 1500, tzinfo=UTC)


def test_a_timestamp_is_rfc_3339_in_utc() -> None:
    assert rfc3339(TS) == "2025-10-07T15:30:00.001500Z"
    assert parse_timestamp(rfc3339(TS)) == TS


def test_a_ulid_is_26_characters_that_sort_by_time() -> None:
    rng = Random(1)
    ids = [ulid(TS + timedelta(milliseconds=place), rng) for place in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", id_) for id_ in ids)


def test_a_point_leaves_out_what_the_device_doesnt_say() -> None:
    assert point("door", 0) == {"name": "door", "v": 0}
    assert point("humidity", None, "num", "%") == {"name": "humidity", "v": None, "t": "num", "u": "%"}


def test_a_parsec_has_its_vendors_keys() -> None:
    payload = encode(parsec_v1(TS, True, False, -68, "1.2.3"))
    assert payload == b'{"di1":1,"di2":0,"rssi":-68,"fw":"1.2.3","ts":"2025-10-07T15:30:00.001500Z"}'


def test_an_ack_with_an_error_is_not_ok() -> None:
    assert (ack_v1(TS, "c", "timeout")["ok"], ack_v1(TS, "c", None)["ok"]) == (False, True)


def test_an_event_has_an_id_or_none() -> None:
    assert event_v1(TS, "boot", "e1", {})["event_id"] == "e1"
    assert "event_id" not in event_v1(TS, "boot", None, {})


def test_text_is_utf8() -> None:
    assert encode({"u": "°C"}) == '{"u":"°C"}'.encode()
