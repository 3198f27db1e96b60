"""What is counted, how it is printed, and the queries that check it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from traksense_ingest.ops.simulate.fleet import Plan
from traksense_ingest.ops.simulate.messages import Message
from traksense_ingest.ops.simulate.report import Report, Tally, reasons_query, rows_query

START = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)
PLAN = Plan(START, seed=7)
ACK = Message("traksense/demo/s/d/ack", b"", "ack", START, 0, cmd_id="c1")
TELEM = Message("traksense/demo/s/d/telem", b"", "telem", START + timedelta(seconds=1), 0, points=9)
EVENT = Message("traksense/demo/s/d/event", b"", "event", START + timedelta(seconds=2), 0)
BAD = TELEM._replace(fault="not_json", error_class="parse_error", points=0)


def tally_of(*messages: Message) -> Tally:
    tally = Tally()
    for message in messages:
        tally.add(message)
    return tally


def test_rows_to_expect() -> None:
    tally = tally_of(TELEM, TELEM, ACK, EVENT, BAD)
    assert tally.rows() == {"ts_measure": 18, "command": 0, "cmd_ack": 1, "device_event": 1, "ingest_errors": 1}
    assert (tally.published, tally.good, tally.bad) == (5, 4, 1)


def test_a_repeated_ack_is_one_command() -> None:
    other_device = ACK._replace(device=1)
    assert tally_of(ACK, other_device, ACK, ACK._replace(cmd_id="c2")).acknowledged == 3


def test_bad_messages_by_class() -> None:
    late = BAD._replace(fault="far_future", error_class="out_of_range")
    naive = BAD._replace(fault="naive_timestamp")
    assert tally_of(BAD, BAD, naive, late).by_class() == {"parse_error": 3, "out_of_range": 1}


def test_the_queries_cover_the_times_and_tenants_of_the_run() -> None:
    tally = tally_of(ACK, TELEM, EVENT, BAD)
    query = rows_query(tally, ("demo", "o'brien"), START)
    assert query.count("SELECT") == 5
    assert "tenant_id IN ('demo', 'o''brien')" in query
    assert "ts BETWEEN '2025-10-07T15:30:00+00:00' AND '2025-10-07T15:30:02+00:00'" in query
    assert "tenant_id = 'demo' AND ts >= '2025-10-07T15:30:00+00:00'" in reasons_query(("demo",), START)


def test_a_run_that_published_nothing_expects_nothing() -> None:
    assert "ts_measure\n WHERE tenant_id = 'demo' AND false" in rows_query(Tally(), ("demo",), START)


def test_json_is_one_object() -> None:
    report = json.loads(Report(PLAN, tally_of(ACK, TELEM, EVENT, BAD), START, 2.0).as_json())
    assert report["expected_rows"] == {
        "ts_measure": 9,
        "command": 0,
        "cmd_ack": 1,
        "device_event": 1,
        "ingest_errors": 1,
    }
    assert report["messages"] == {"telem": 1, "cmd": 0, "ack": 1, "event": 1}
    assert report["bad"] == {"total": 1, "faults": {"not_json": 1}, "reasons": {"parse_error": 1}}
    assert (report["published"], report["rate"], report["seed"]) == (4, 2.0, 7)


def shown(report: Report) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=60))
    return out.getvalue()


@pytest.mark.parametrize("tenants", [("demo",), ("demo-1", "demo-2")])
def test_tables_for_people(tenants: tuple[str, ...]) -> None:
    tally = tally_of(ACK, TELEM, EVENT, BAD)
    text = shown(Report(replace(PLAN, tenants=tenants), tally, START, 2.0))
    assert "bad: not_json (parse_error)" in text
    assert rows_query(tally, tenants, START) in text  # not wrapped, so that it can be copied
    assert "PUBACK" not in text


def test_what_may_be_stored_twice_or_not_at_all_is_printed() -> None:
    tally = tally_of(TELEM)
    tally.sent_again, tally.unconfirmed = 3, 2
    tally.refused["Not authorized"] = 4
    text = shown(Report(PLAN, tally, START, 0.0))
    assert "3 sent again" in text
    assert "2 sent without a PUBACK" in text
    assert "4 refused by the broker: Not authorized" in text
