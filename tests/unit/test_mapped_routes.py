"""Which route takes a message, whose it is, and what becomes of ACKs, events, states and what is ignored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import mapped
from tests.support.mapped import HEAD, RECEIVED, reason_of, rows_of, values_of
from traksense_ingest.writer.decode.mapped import reading
from traksense_ingest.writer.outcome import AckRow, Decoded, EventRow, Ignored, Outcome, Rejected


def decoding(routes: str, head: str = HEAD) -> mapped.Decoding:
    return mapped.decoding(head + routes)


TWO = decoding("""
  - {name: a, topics: "{tenant}/{device}/x", when: {type: [1, a]}, points: [{path: v, name: a}]}
  - {name: b, topics: "{tenant}/{device}/x", when: {type: exists}, points: [{path: v, name: b}]}
  - {name: text, topics: "{tenant}/{device}/y", decode: text, points: [{path: ., name: t, numbers_in_text: true}]}
""")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [({"type": 1}, {"a": 5}), ({"type": 1.0}, {"a": 5}), ({"type": True}, {"b": 5}), ({"type": "a"}, {"a": 5})],
)
def test_the_first_route_whose_conditions_hold(payload: dict[str, Any], expected: dict[str, object]) -> None:
    assert values_of(TWO.outcome("acme/d/x", json.dumps(payload | {"v": 5}))) == expected


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (
            "acme/d/x",
            '{"type": null}',
            "invalid_topic: topic: `when` doesn't fit the payload in any of its routes: test/a, test/b",
        ),
        ("acme/d/x", "{", "parse_error: test/b: payload: not JSON: unexpected end of data"),
        ("acme/d/y", b"\xff", "parse_error: test/text: payload: not UTF-8 at byte 0"),
        ("acme/d/z", "{}", "invalid_topic: topic: no mapping has a route for it"),
        ("traksense/a/b", "{}", "invalid_topic: topic: should be traksense/tenant/site/device/kind"),
        ("traksense/a/b/c/x", "{}", "invalid_topic: topic.kind: should be telem, ack, event, state or cmd"),
        (b"\xff", "{}", "invalid_topic: topic: not UTF-8 at byte 0"),
        ("traksense/a/b/c/telem", "{}", "invalid_topic: topic: no mapping has a route for it"),
    ],
)
def test_what_no_route_takes(topic: str | bytes, payload: str | bytes, reason: str) -> None:
    assert reason_of(TWO.outcome(topic, payload)).startswith(reason)


def test_without_mappings_a_topic_is_compared_with_that_of_version_1() -> None:
    assert reason_of(mapped.Decoding(mapped.mappings()).outcome("acme/d/z", "{}")) == (
        "invalid_topic: topic: should be traksense/tenant/site/device/kind"
    )


def test_a_payload_is_read_once_in_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = """
  - {name: a, topics: "{tenant}/{device}/x", when: {type: a}, points: [{path: v}]}
  - {name: b, topics: "{tenant}/{device}/x", when: {type: b}, decode: cbor, points: [{path: v}]}
  - {name: c, topics: "{tenant}/{device}/x", when: {type: c}, points: [{path: v}]}
"""
    read: list[bytes] = []

    def loads(payload: bytes) -> Any:
        read.append(payload)
        return json.loads(payload)

    own = decoding(routes)
    monkeypatch.setattr(reading, "orjson", SimpleNamespace(loads=loads, JSONDecodeError=ValueError))
    assert values_of(own.outcome("acme/d/x", '{"type": "c", "v": 5}')) == {"v": 5}
    assert len(read) == 1


def test_an_empty_payload_is_ignored() -> None:
    for topic in ("acme/d/x", "nobody/knows"):
        outcome = TWO.outcome(topic, "")
        assert isinstance(outcome, Ignored)
        assert outcome.reason == "empty"


def test_a_rejected_message_has_the_kind_and_the_tenant_of_its_route() -> None:
    outcome = TWO.outcome("acme/d/x", '{"type": 1, "v": {}}')
    assert isinstance(outcome, Rejected)
    assert (outcome.kind, outcome.tenant_id, outcome.error_class) == ("telem", "acme", "parse_error")


@pytest.mark.parametrize(
    ("tenant", "identity", "payload", "what"),
    [
        ("{from: payload, one_of: [acme]}", "{.t}", {"t": "globex"}, "identity.tenant: globex is not one of acme"),
        ("{from: payload, one_of: [acme]}", "{.a.t}", {}, "identity.tenant: a.t is missing"),
        ("{from: payload, one_of: [acme]}", "{.t}", {"t": None}, "identity.tenant: t is null"),
        (
            "{from: payload, one_of: [acme]}",
            "{.t}",
            {"t": {}},
            "identity.tenant: t should be a string, a number or a boolean",
        ),
        (
            "{from: payload, one_of: [acme]}",
            "{.t}",
            {"t": "a\nb"},
            "identity.tenant: should have no control characters",
        ),
        ("{from: payload, one_of: [acme]}", "{.t}", {"t": "x" * 129}, "should have 1 to 128 characters, has 129"),
        (
            "{from: topic, one_of: [acme]}",
            "{tenant}",
            {},
            "invalid_topic: test/r: identity.tenant: umc is not one of acme",
        ),
    ],
)
def test_a_tenant_that_is_not_allowed(tenant: str, identity: str, payload: dict[str, Any], what: str) -> None:
    own = decoding(
        f"""
  - {{name: r, topics: "{{tenant}}/x", identity: {{tenant: "{identity}", site: s, device: d}}, points: [{{path: v}}]}}
""",
        HEAD.replace("{from: topic}", tenant),
    )
    outcome = own.outcome("umc/x", json.dumps(payload))
    assert what in reason_of(outcome)


def test_a_name_of_the_topic_that_is_too_long() -> None:
    reason = reason_of(TWO.outcome(f"acme/{'x' * 129}/y", "1"))
    assert reason == "invalid_topic: test/text: identity.device: should have 1 to 128 characters, has 129"


RECORDS = decoding(
    """
  - name: r
    topics: "{tenant}/gateway"
    records: "{dev}[*]"
    identity: {tenant: "{tenant}", site: "{$.site}", device: "{dev}"}
    time: {path: ts, format: unix_ms}
    meta: {fw: $.fw, n: n, source: "@dev", kind: "=gw", label: "{dev}/{.n}"}
    points: [{each: values}]
"""
)


def test_records_of_several_devices_and_moments() -> None:
    first, second = 1795881600000, 1795881605000
    payload = {
        "site": "s1",
        "a": [{"ts": first, "values": {"t": 1}, "n": 7}, {"ts": second, "values": {"t": 2}}],
        "b": [{"ts": first, "values": {"t": 3}}],
    }
    outcome = RECORDS.outcome("acme/gateway", json.dumps(payload))
    assert isinstance(outcome, Decoded)
    assert [(row.device_id, row.ts.second, row.v_num) for row in rows_of(outcome)] == [
        ("a", 0, 1),
        ("a", 5, 2),
        ("b", 0, 3),
    ]
    metas = [json.loads(row.meta or "null") for row in rows_of(outcome)]
    assert metas[0] == {"n": 7, "source": "a", "kind": "gw", "label": "a/7"}
    assert metas[2] == {"source": "b", "kind": "gw"}
    assert [(seen.device_id, seen.site_id) for seen in outcome.devices] == [("a", "s1"), ("b", "s1")]
    assert outcome.ts == datetime(2026, 11, 28, 16, 0, 5, tzinfo=UTC)


def test_a_record_that_is_wrong_says_which() -> None:
    payload = {"site": "s1", "a": [{"ts": 1795881600000, "values": {"t": 1}}, {"values": {}}]}
    reason = reason_of(RECORDS.outcome("acme/gateway", json.dumps(payload)))
    assert reason.startswith("parse_error: test/r: {dev}[1]: ts: ts is missing")


def rows(outcome: Outcome) -> tuple[Any, ...]:
    assert isinstance(outcome, Decoded), outcome
    return outcome.rows


ACK = decoding("""
  - {name: r, topics: "{tenant}/{device}/ack", kind: ack, time: {path: t, format: unix, missing: received},
     ack: {cmd_id: "{.id}", ok: {path: st, map: {done: true, failed: false}}, err: why}}
  - {name: plain, topics: "{tenant}/{device}/plain", kind: ack, ack: {cmd_id: "{.id}", ok: ok}}
""")


def test_an_ack() -> None:
    (row,) = rows(ACK.outcome("acme/d/ack", '{"id": 17, "st": "failed", "why": {"code": 5}, "t": 1795881600}'))
    assert isinstance(row, AckRow)
    assert row[:6] == ("acme", "d", "17", False, datetime(2026, 11, 28, 16, tzinfo=UTC), '{"code":5}')
    assert json.loads(row.payload)["st"] == "failed"


@pytest.mark.parametrize(
    ("topic", "payload", "what"),
    [
        ("ack", {"st": "done"}, "ack.cmd_id: id is missing"),
        ("ack", {"id": "", "st": "done"}, "ack.cmd_id: should have 1 to 256 characters, has 0"),
        ("ack", {"id": "1"}, "st: is missing, and is required"),
        ("ack", {"id": "1", "st": "x"}, 'st: "x" is not one of "done", "failed"'),
        ("plain", {"id": "1", "ok": "yes"}, 'ok: "yes" is not one of true, false, 1, 0'),
    ],
)
def test_an_ack_that_is_poison(topic: str, payload: dict[str, Any], what: str) -> None:
    assert what in reason_of(ACK.outcome(f"acme/d/{topic}", json.dumps(payload)))


EVENT = decoding("""
  - {name: r, topics: "{tenant}/{device}/e", kind: event, records: "events[*]", time: {path: t, missing: received},
     event: {type: "{.c}.{.e}", id: "{.id}", data: {n: n, all: "{.c}!"}}}
""")


def test_events() -> None:
    payload = {
        "events": [{"c": "in", "e": "push", "id": "E1", "n": 2}, {"c": "in", "e": "pull", "t": "2026-11-28T16:00:00Z"}]
    }
    first, second = rows(EVENT.outcome("acme/d/e", json.dumps(payload)))
    assert isinstance(first, EventRow)
    assert (first.event_id, first.event_type, first.ts) == ("E1", "in.push", RECEIVED)
    assert json.loads(first.data or "") == {"n": 2, "all": "in!"}
    assert second.event_id.startswith("sha256:")
    again = rows(EVENT.outcome("acme/d/e", json.dumps(payload)))
    assert again[1].event_id == second.event_id, "its content is its identity"


STATE = decoding("""
  - {name: r, topics: "{tenant}/{device}/s", kind: state, time: {path: ts, missing: received},
     state: {online: online, reason: reason}}
""")


@pytest.mark.parametrize("retained", [False, True])
def test_a_last_will_is_a_state_and_no_sign_of_the_device(retained: bool) -> None:
    outcome = STATE.outcome("acme/d/s", '{"online": false, "reason": "lost"}', retained=retained)
    (row,) = rows(outcome)
    assert isinstance(outcome, Decoded)
    assert (outcome.kind, row.event_type, json.loads(row.data)) == (
        "state",
        "state",
        {"online": False, "reason": "lost"},
    )
    assert outcome.devices == ()


def test_a_device_that_is_online_is_seen() -> None:
    outcome = STATE.outcome("acme/d/s", '{"online": true}')
    assert isinstance(outcome, Decoded)
    assert [seen.device_id for seen in outcome.devices] == ["d"]


def test_what_a_mapping_ignores() -> None:
    own = decoding("""
  - {name: r, topics: "{tenant}/x", when: {type: status}, ignore: true}
""")
    outcome = own.outcome("acme/x", '{"type": "status"}')
    assert isinstance(outcome, Ignored)
    assert (outcome.reason, outcome.mapping) == ("mapping", "test")
