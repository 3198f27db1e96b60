"""ACKs and events: a row, or a rejection that names the field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.decoding import TS, decoded, reason
from tests.support.rows import ack_in, event_in


def test_an_ack_keeps_its_whole_payload() -> None:
    outcome = decoded(
        json.dumps({"schema": "v1", "cmd_id": "c1", "ok": False, "err": "E", "ts_exec": TS, "x": 1}), "ack"
    )
    assert (ack_in(outcome).cmd_id, ack_in(outcome).ok, ack_in(outcome).err) == ("c1", False, "E")
    assert json.loads(ack_in(outcome).payload)["x"] == 1
    assert ack_in(outcome).at == datetime(2025, 10, 7, 15, 30, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "v2"}, "schema"),
        ({"cmd_id": 5}, "cmd_id"),
        ({"cmd_id": ""}, "cmd_id"),
        ({"cmd_id": "\0"}, "cmd_id"),
        ({"ok": 1}, "ok"),
        ({"ok": "true"}, "ok"),
        ({"ts_exec": "yesterday"}, "ts_exec"),
        ({"err": {"code": 1}}, "err"),
        ({"err": "\0"}, "err"),
    ],
)
def test_a_bad_ack_is_poison(change: dict[str, Any], where: str) -> None:
    ack = {"schema": "v1", "cmd_id": "c1", "ok": True, "ts_exec": TS, "err": None} | change
    assert reason(json.dumps(ack), "ack").startswith(f"parse_error: {where}: ")


def test_an_unknown_key_of_an_ack_is_ignored_whatever_it_holds() -> None:
    for hostile in ('"\\u0000"', "1e999"):
        outcome = decoded(f'{{"schema":"v1","cmd_id":"c1","ok":true,"extra":{hostile},"err":null}}', "ack")
        assert json.loads(ack_in(outcome).payload) == {"schema": "v1", "cmd_id": "c1", "ok": True, "err": None}


def event(**change: Any) -> str:
    return json.dumps({"schema": "v1", "event_type": "boot", "ts": TS} | change)


def event_id(payload: str) -> str:
    outcome = decoded(payload, "event")
    return event_in(outcome).event_id


def test_an_event_without_id_is_its_content() -> None:
    assert event_id(event(event_id="E1")) == "E1"
    assert event_id(event(data={"a": 1, "b": 2})) == event_id(
        event(data={"b": 2, "a": 1}, event_id=None, note="ignored")
    )
    assert event_id(event()) == event_id(event(ts="2025-10-07T12:30:00-03:00"))
    different = {
        event_id(payload)
        for payload in (event(), event(data={"a": 1}), event(event_type="x"), event(ts="2025-10-07T15:30:01Z"))
    }
    assert len(different) == 4


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"event_type": ""}, "event_type"),
        ({"event_type": "\0"}, "event_type"),
        ({"event_id": 5}, "event_id"),
        ({"event_id": "\0"}, "event_id"),
        ({"data": []}, "data"),
        ({"data": {"a": "\0"}}, "data"),
        ({"ts": None}, "ts"),
    ],
)
def test_a_bad_event_is_poison(change: dict[str, Any], where: str) -> None:
    assert reason(event(**change), "event").startswith(f"parse_error: {where}: ")
