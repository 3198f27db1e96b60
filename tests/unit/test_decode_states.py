"""States of version 1: an event of the type `state`, as a mapping's, or a rejection."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.decoding import DECODER, TS, decoded, entry, reason
from tests.support.rows import event_in
from traksense_ingest.writer.outcome import Decoded

AT = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)
RECEIVED = entry("", "state").received_at


def state(text: object = "online", **change: Any) -> str:
    return json.dumps({"schema": "v1", "state": text, "ts": TS} | change)


@pytest.mark.parametrize(
    ("payload", "data", "ts"),
    [
        (state(), {"online": True}, AT),
        (state("Offline"), {"online": False}, AT),
        (state("0"), {"online": False}, AT),
        (state("defrosting"), {"online": True, "state": "defrosting"}, AT),
        (state(ts=None), {"online": True}, RECEIVED),
        ("online", {"online": True}, RECEIVED),
        ("OFFLINE\n", {"online": False}, RECEIVED),
        ("1", {"online": True}, RECEIVED),
        ("0", {"online": False}, RECEIVED),
    ],
)
def test_each_form_of_a_state(payload: str, data: dict[str, Any], ts: datetime) -> None:
    outcome = decoded(payload, "state")
    row = event_in(outcome)
    assert (outcome.kind, row.event_type, row.ts, json.loads(row.data or "")) == ("state", "state", ts, data)
    assert len(outcome.devices) == data["online"], "a last will is no sign of its device"
    assert outcome.ts == (AT if ts == AT else None)


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ("gone", "payload: should be a JSON object or one of online, offline, 1, 0"),
        ("2", "payload"),
        ('"online"', "payload"),
        ('{"state":"online"}', "schema"),
        (state(1), "state"),
        (state(""), "state"),
        (state("\0"), "state"),
        (state(ts="now"), "ts"),
    ],
)
def test_a_bad_state_is_poison(payload: str, where: str) -> None:
    assert reason(payload, "state").startswith(f"parse_error: {where}")


@pytest.mark.parametrize(("payload", "is_replay"), [(state(), False), (state(ts=None), True), ("online", True)])
def test_a_retained_state_without_a_time_may_be_a_replay(payload: str, is_replay: bool) -> None:
    outcome = DECODER.decode(entry(payload, "state")._replace(retained=True))
    assert isinstance(outcome, Decoded)
    assert event_in(outcome).is_replay == is_replay
    assert len(outcome.devices) == (not is_replay), "nobody knows when the device was seen"
    assert not event_in(decoded(payload, "state")).is_replay
