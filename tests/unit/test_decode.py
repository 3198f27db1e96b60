"""An entry → rows or a reason. What the cases of `tests/cases` don't say: topic, JSON, limits, and what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.decoding import DECODER, NOW, TS, decoded, entry, reason, v1, v1_routes
from tests.support.rows import measures_in
from traksense_ingest.writer.outcome import Decoded, Rejected


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b" ", "payload: Invalid JSON"),
        (b"[]", "payload: Input should be"),
        (b"3", "payload: Input should be"),
        (b"null", "payload: Input should be"),
        (b"\xff", "payload: not UTF-8 at byte 0"),
        (v1().encode() + b"}", "payload: Invalid JSON"),
        (b"\xef\xbb\xbf" * 2 + v1().encode(), "payload: Invalid JSON"),
        (v1(seq=float("nan")), "payload: Invalid JSON: NaN is not a JSON number"),
        (v1(seq=float("-inf")), "payload: Invalid JSON: -Infinity is not a JSON number"),
        (v1(meta={"a": "\0"}), "meta: should not contain the NUL character"),
        (v1(meta={"\0": 1}), "meta: should not contain the NUL character"),
        (v1(meta=[]), "meta: Input should be"),
        ('{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[],"meta":{"a":1e999}}', "meta: "),
        ('{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[{"name":"\\ud800","v":1}]}', "payload: Invalid JSON"),
        (json.dumps({"schema": "v2", "ts": TS, "points": []}), "schema: Input should be 'v1'"),
        (json.dumps({"schema": None, "ts": TS, "points": []}), "schema: Input should be 'v1'"),
        (json.dumps({"points": [{"name": "schema", "v": 1}], "ts": TS}), "schema: missing"),
        (json.dumps({"schema": "v1", "ts": TS, "points": [{"name": "p", "v": 1}] * 10_001}), "points: "),
    ],
)
def test_what_is_not_our_json_is_poison_with_its_place(payload: bytes | str, where: str) -> None:
    decoder = v1_routes(max_payload_bytes=10**6, max_future_s=0, clock=lambda: NOW)
    outcome = decoder.decode(entry(payload))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"parse_error: {where}")


def test_all_that_is_wrong_is_said_up_to_five_places() -> None:
    text = reason(v1({"name": "", "t": "x", "u": 1}, ts="x", meta=1, schema="v2"))
    assert text.count(": Input should be") == 3
    assert "; points.0.v: Field required" in text
    assert text.endswith("; and 2 more")


def test_meta_is_null_when_empty() -> None:
    assert measures_in(decoded(v1({"name": "a", "v": 1}, meta={})))[0].meta is None
    assert measures_in(decoded(v1({"name": "a", "v": 1}, meta=None)))[0].meta is None
    assert measures_in(decoded(v1({"name": "a", "v": 1}, meta={"fw": "é"})))[0].meta == '{"fw":"é"}'


def test_a_payload_over_the_limit_is_not_even_parsed() -> None:
    assert reason(b"{" * 10_001) == "payload_too_large: payload: 10001 bytes, at most 10000 are allowed"
    assert reason(b"{" * 10_000).startswith("parse_error")


@pytest.mark.parametrize(
    ("topic", "where", "tenant"),
    [
        (b"traksense/t/s/d", "topic: should be traksense/tenant/site/device/kind", "t"),
        (b"traksense/t/s/d/telem/more", "topic: should be", "t"),
        (b"other/t/s/d/telem", "topic: should be", None),
        (b"traksense//s/d/telem", "topic.tenant: should have 1 to 128 characters, has 0", None),
        (b"traksense/t/" + b"x" * 129 + b"/d/telem", "topic.site: should have 1 to 128 characters, has 129", "t"),
        (b"traksense/t/s/a\x07b/telem", "topic.device: should have no control characters", "t"),
        ("traksense/t/s/a\x85b/telem".encode(), "topic.device: should have no control characters", "t"),
        (b"traksense/t/s/d/status", "topic.kind: should be telem, ack, event, state or cmd", "t"),
        (b"traksense/t/s/\xff/telem", "topic: not UTF-8 at byte 14", None),
        (b"", "topic: should be", None),
    ],
)
def test_a_topic_that_is_not_ours_is_invalid(topic: bytes, where: str, tenant: str | None) -> None:
    outcome = DECODER.decode(entry(v1())._replace(topic=topic))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"invalid_topic: {where}")
    assert outcome.tenant_id == tenant


@pytest.mark.parametrize("name", ["'; DROP TABLE ts_measure; --", "%", "_", "ação", "🧊", "x" * 128, " ", "$share"])
def test_names_are_just_names(name: str) -> None:
    outcome = DECODER.decode(entry(v1({"name": name, "v": 1}), device=name))
    assert isinstance(outcome, Decoded)
    assert (measures_in(outcome)[0].device_id, measures_in(outcome)[0].point_id) == (name, name)


@pytest.mark.parametrize(
    ("field", "reason_"),
    [
        ("topic", "invalid_topic: topic: the entry has no such field"),
        ("payload", "parse_error: payload: the entry has no such field"),
    ],
)
def test_an_entry_added_by_hand_may_lack_fields(field: str, reason_: str) -> None:
    missing: dict[str, Any] = {field: None}
    outcome = DECODER.decode(entry(v1())._replace(**missing))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason_
