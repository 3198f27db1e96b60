"""Timestamps are RFC 3339, with an offset, and of a time that a device can mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from pydantic_core import PydanticCustomError

from tests.support.decoding import NOW, decoded, reason, v1, v1_routes
from tests.support.rows import measures_in
from traksense_ingest.writer.decode.timestamp import _RFC3339, parse_timestamp
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Decoded, Rejected


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        ("2025-10-07T15:30:00Z", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2025-10-07t15:30:00z", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2025-10-07T15:30:00.5+00:00", datetime(2025, 10, 7, 15, 30, 0, 500_000, tzinfo=UTC)),
        ("2025-10-07T15:30:00.123456789Z", datetime(2025, 10, 7, 15, 30, 0, 123_456, tzinfo=UTC)),
        ("2025-10-08T01:00:00+09:30", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T20:59:60.25-03:00", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2025-10-08T16:00:00Z", NOW + timedelta(days=1)),
    ],
)
def test_timestamps_are_rfc_3339(ts: str, moment: datetime) -> None:
    assert measures_in(decoded(v1({"name": "p", "v": 1}, ts=ts)))[0].ts == moment


@pytest.mark.parametrize(
    "ts",
    [
        "2025-10-07T15:30:00",
        "2025-10-07T15:30Z",
        "2025-10-07",
        "20251007T153000Z",
        "2025-10-07T15:30:00+0300",
        "2025-10-07T15:30:00+03",
        "2025-10-07T15:30:00.Z",
        "2025-02-30T15:30:00Z",
        "2025-10-07T24:00:00Z",
        "2025-10-07T15:30:60Z",
        "2025-10-07T15:30:00Z ",
        "٢٠٢٥-10-07T15:30:00Z",
        "1759851000",
        1759851000,
        1759851000.5,
        None,
        True,
        "",
    ],
)
def test_anything_else_is_not_a_timestamp(ts: object) -> None:
    assert reason(v1({"name": "p", "v": 1}, ts=ts)).startswith("parse_error: ts: Input should be")


@pytest.mark.parametrize(
    "ts",
    [
        "1999-12-31T23:59:59.999999Z",
        "2025-10-08T16:00:00.000001Z",
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+05:00",
    ],
)
@pytest.mark.parametrize("kind", ["telem", "ack", "event"])
def test_a_time_that_no_device_means_is_out_of_range(ts: str, kind: str) -> None:
    payloads = {
        "telem": v1(ts=ts),
        "ack": json.dumps({"schema": "v1", "cmd_id": "c", "ok": True, "ts_exec": ts}),
        "event": json.dumps({"schema": "v1", "event_type": "boot", "ts": ts}),
    }
    assert reason(payloads[kind], kind).startswith("out_of_range: ts")


def test_a_host_whose_clock_is_behind_refuses_nothing() -> None:
    """The entry's id tells the time as well, and never steps back."""
    payload = json.dumps({"schema": "v1", "ts": "2025-10-07T15:30:00Z", "points": []}).encode()
    behind = v1_routes(10_000, 86_400, lambda: NOW - timedelta(days=30))
    for id_, expected in ((b"1759851000000-0", Decoded), (b"1757259000000-0", Rejected)):
        entry = parse_entry("s", id_, [b"topic", b"traksense/t/s/d/telem", b"payload", payload])
        assert isinstance(behind.decode(entry), expected)


ODD = "09+-:.,ZzT tW/\u0663"


@pytest.mark.parametrize("fraction", ["", ".250", ".250123"])
def test_the_short_cut_is_as_strict_as_the_grammar(fraction: str) -> None:
    """Each two characters of a plain one, replaced by others."""
    plain = f"2025-10-07T15:30:00{fraction}Z"
    for at in range(len(plain) - 1):
        for pair in product(ODD, repeat=2):
            text = plain[:at] + "".join(pair) + plain[at + 2 :]
            try:
                parse_timestamp(text)
            except PydanticCustomError:
                continue
            assert _RFC3339.fullmatch(text), text
