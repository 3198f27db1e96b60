"""Commands of version 1: a row, nothing, or a rejection that names the field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.decoding import DECODER, TS, decoded, entry, reason
from tests.support.rows import command_in
from traksense_ingest.writer.outcome import Decoded, Ignored

SENT = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)


def command(**change: Any) -> str:
    return json.dumps({"schema": "v1", "cmd_id": "c1", "cmd": "defrost", "ts": TS} | change)


def test_a_command_keeps_its_whole_payload_and_is_no_sign_of_its_device() -> None:
    outcome = decoded(command(params={"minutes": 20}, by="operator 7"), "cmd")
    row = command_in(outcome)
    assert row[:5] == ("t", "dev", "c1", SENT, "defrost")
    assert json.loads(row.payload) == json.loads(command(params={"minutes": 20}, by="operator 7"))
    assert row.at == entry("", "cmd").appended_at
    assert (outcome.kind, outcome.devices, outcome.ts) == ("cmd", (), SENT)


def test_without_a_time_it_was_sent_when_it_was_received() -> None:
    outcome = decoded('{"schema":"v1","cmd_id":"c1"}', "cmd")
    row = command_in(outcome)
    assert (row.sent_at, row.cmd) == (entry("", "cmd").received_at, None)
    assert outcome.ts is None, "nobody measures a latency of it"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "with a line break"])
def test_a_retained_command_without_a_time_is_ignored(packed: bool) -> None:
    def outcome(payload: str) -> Any:
        return DECODER.decode(entry(payload + "\n" * packed, "cmd")._replace(retained=True))

    ignored = outcome(command(ts=None))
    assert isinstance(ignored, Ignored)
    assert (ignored.kind, ignored.reason) == ("cmd", "retained")
    assert isinstance(outcome(command()), Decoded)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "v2"}, "schema"),
        ({"cmd_id": 5}, "cmd_id"),
        ({"cmd_id": "x" * 257}, "cmd_id"),
        ({"cmd_id": "\0"}, "cmd_id"),
        ({"cmd": {"name": "defrost"}}, "cmd"),
        ({"cmd": "\0"}, "cmd"),
        ({"ts": "yesterday"}, "ts"),
        ({"ts": "2025-10-07T15:30:00"}, "ts"),
        ({"params": []}, "params"),
    ],
)
def test_a_bad_command_is_poison(change: dict[str, Any], where: str) -> None:
    assert reason(command(**change), "cmd").startswith(f"parse_error: {where}: ")


def test_a_command_of_the_future_is_out_of_range() -> None:
    assert reason(command(ts="2035-10-07T15:30:00Z"), "cmd").startswith("out_of_range: ts: ")


def test_what_jsonb_can_not_hold_in_an_unknown_key_is_left_out() -> None:
    outcome = decoded('{"schema":"v1","cmd_id":"c1","extra":"\\u0000"}', "cmd")
    assert json.loads(command_in(outcome).payload) == {"schema": "v1", "cmd_id": "c1"}
