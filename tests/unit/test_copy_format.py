from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.store import copy_format
from traksense_ingest.writer.store.copy_format import encode

NUL = "\0"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=NUL), max_size=20)
MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(
    st.tuples(NUMBER, st.none(), st.none()),
    st.tuples(st.none(), st.booleans(), st.none()),
    st.tuples(st.none(), st.none(), TEXT),
    st.just((None, None, None)),
)
SIZES = {"device1": 4, "device2": 2, "device3": 0, "device4": 1, "device5": 1}
META = st.none() | st.just('{"fw":"é"}')


@st.composite
def messages(draw: st.DrawFn) -> Measures:
    rows = draw(st.lists(st.tuples(TEXT, VALUES, st.none() | TEXT), max_size=5))
    readings = tuple((name, *values, unit) for name, values, unit in rows)
    return Measures(draw(TEXT), draw(TEXT), draw(MOMENT), draw(META), readings)


def fields(data: bytes) -> Iterator[list[bytes | None]]:
    """What PostgreSQL reads: rows of fields, each with its length before it."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at = 19
    while (count := struct.unpack_from("!h", data, at)[0]) != -1:
        at, row = at + 2, []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", data, at)
            row.append(None if size == -1 else data[at + 4 : at + 4 + size])
            at += 4 + max(size, 0)
        yield row
    assert at + 2 == len(data)


def read(row: list[bytes | None]) -> Measure:
    tenant, device, point, ts, number, boolean, text, unit, meta = row
    assert tenant is not None
    assert device is not None
    assert point is not None
    assert ts is not None
    assert meta is None or meta[:1] == b"\x01"
    return Measure(
        tenant.decode(),
        device.decode(),
        point.decode(),
        datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=struct.unpack("!q", ts)[0]),
        None if number is None else struct.unpack("!d", number)[0],
        None if boolean is None else struct.unpack("!?", boolean)[0],
        *(None if field is None else field.decode() for field in (text, unit, meta and meta[1:])),
    )


@given(st.lists(messages(), max_size=4))
def test_postgres_reads_what_was_written(batch: list[Measures]) -> None:
    rows = [row for message in batch for row in message]
    assert [read(row) for row in fields(b"".join(encode(batch)))] == rows


def test_a_moment_with_an_offset_is_the_same_moment() -> None:
    ts = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    (row,) = fields(b"".join(encode([message(ts=ts)])))
    assert read(row).ts == ts


def test_a_chunk_is_whole_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_format, "CHUNK_ROWS", 3)
    messages = [message("abcd"[:size], device) for device, size in SIZES.items()]
    chunks = list(encode(messages))
    assert [chunk.count(b"device") for chunk in chunks] == [4, 3, 1]
    assert [read(row) for row in fields(b"".join(chunks))] == [row for message in messages for row in message]


def test_a_lone_surrogate_is_an_error_that_is_poison() -> None:
    with pytest.raises(UnicodeEncodeError):
        list(encode([message("\ud800")]))


def message(points: str = "p", device: str = "d", ts: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> Measures:
    return Measures("t", device, ts, None, tuple((point, 1.5, None, None, "K") for point in points))
