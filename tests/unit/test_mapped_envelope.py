"""Messages inside messages: by which route, at what time, and of the tenant whose envelope they are in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import mapped
from tests.support.mapped import HEAD, reason_of, rows_of
from tests.support.sparkplug import INT32, payload
from traksense_ingest.writer.decode.mapped.fields import DEPTH_MAX
from traksense_ingest.writer.outcome import Decoded, Outcome, Rejected


def decoding(routes: str) -> mapped.Decoding:
    return mapped.decoding(HEAD + routes)


ENVELOPE = decoding("""
  - {name: out, topics: "{tenant}/out", time: {path: ts, format: unix_ms, missing: received},
     envelope: {payload: p, topic: t}}
  - {name: b64, topics: "{tenant}/b64", envelope: {payload: p, topic: t, unpack: base64}}
  - {name: in, topics: "{tenant}/{device}/in", points: [{path: v}]}
""")


@pytest.mark.parametrize("inner", [{"v": 1}, '{"v": 1}'])
def test_an_envelope(inner: object) -> None:
    message = json.dumps({"ts": 1795881600000, "t": "acme/d/in", "p": inner})
    outcome = ENVELOPE.outcome("acme/out", message)
    assert isinstance(outcome, Decoded)
    (row,) = rows_of(outcome)
    assert (row.tenant_id, row.device_id, row.v_num, row.ts) == ("acme", "d", 1, datetime(2026, 11, 28, 16, tzinfo=UTC))
    assert outcome.entry.payload == message.encode(), "a dead letter has its exact bytes"


@pytest.mark.parametrize(
    ("topic", "payload", "what"),
    [
        ("acme/out", {"t": "umc/d/in", "p": {"v": 1}}, "test/out: tenant: umc is not acme, whose envelope it is in"),
        ("acme/out", {"t": "acme/out", "p": {}}, "test/out: an envelope in an envelope is not opened"),
        ("acme/out", {"p": {}}, "test/out: t: is missing"),
        ("acme/out", {"t": 5, "p": {}}, "test/out: t: Input should be a topic, is 5"),
        ("acme/out", {"t": "acme/d/in"}, "test/out: p: is missing"),
        ("acme/out", {"t": "acme/d/in", "p": "{"}, "test/in: payload: not JSON"),
        ("acme/out", {"t": "no/body/knows", "p": "{}"}, "invalid_topic: "),
        ("acme/b64", {"t": "acme/d/in", "p": "*"}, "test/b64: p: not Base64"),
    ],
)
def test_an_envelope_that_is_poison(topic: str, payload: dict[str, Any], what: str) -> None:
    assert what in reason_of(ENVELOPE.outcome(topic, json.dumps(payload)))


@pytest.mark.parametrize(("tenant", "expected"), [("acme", "acme"), ("umc", None)])
def test_a_dead_letter_is_never_another_tenants(tenant: str, expected: str | None) -> None:
    outcome = ENVELOPE.outcome("acme/out", json.dumps({"t": f"{tenant}/d/in", "p": {"v": {}}}))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("parse_error: test/in: ")
    assert outcome.tenant_id == expected


def nested(levels: int) -> str:
    return '{"v":1,"k":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def test_an_object_inside_is_nested_as_deeply_as_orjson_writes_it() -> None:
    topic = "acme/out"
    just = ENVELOPE.outcome(topic, f'{{"t": "acme/d/in", "p": {nested(DEPTH_MAX)}}}')
    assert [row.v_num for row in rows_of(just)] == [1]
    more = ENVELOPE.outcome(topic, f'{{"t": "acme/d/in", "p": {nested(DEPTH_MAX + 1)}}}')
    assert reason_of(more) == "parse_error: test/out: p: is nested too deeply"
    text = ENVELOPE.outcome(topic, json.dumps({"t": "acme/d/in", "p": nested(DEPTH_MAX + 1)}))
    assert [row.v_num for row in rows_of(text)] == [1]


SPARKPLUG = """
  - {name: out, topics: "{tenant}/out", envelope: {payload: p, topic: t, unpack: hex}}
  - name: in
    topics: "{tenant}/spBv1.0/{group}/{message:DBIRTH|DDATA}/{node}/{device}"
    decode: sparkplug_b
    points: [{each: "metrics[*]", name: "{.name}", value: value}]
"""
GOOD = {"name": "Level", "alias": 3, "datatype": INT32, "int_value": 7}
REFUSED = {"name": "x" * 300, "alias": 4, "datatype": INT32, "int_value": 1}


RECORDS = SPARKPLUG.replace("points: ", 'records: "none[*]"\n    points: ')


def inside(own: mapped.Decoding, tenant: str, *metrics: dict[str, Any]) -> Outcome:
    """A BIRTH of a tenant's device, in an envelope of acme's."""
    message = {"t": f"{tenant}/spBv1.0/g/DBIRTH/n/d", "p": payload(*metrics).hex()}
    return own.outcome("acme/out", json.dumps(message))


BIRTHS = [(SPARKPLUG, (GOOD,)), (SPARKPLUG, (GOOD, REFUSED)), (RECORDS, (GOOD,))]


@pytest.mark.parametrize(("routes", "metrics"), BIRTHS)
def test_a_birth_inside_says_what_aliases_of_its_tenant_are(routes: str, metrics: tuple[dict[str, Any], ...]) -> None:
    own = decoding(routes)
    inside(own, "acme", *metrics)
    assert own.aliases.find("acme/spBv1.0/g/n/d") is not None


@pytest.mark.parametrize(("routes", "metrics"), BIRTHS)
def test_a_birth_inside_says_nothing_of_another_tenants_aliases(
    routes: str, metrics: tuple[dict[str, Any], ...]
) -> None:
    own = decoding(routes)
    outcome = inside(own, "umc", *metrics)
    assert isinstance(outcome, Rejected)
    assert outcome.birth is None
    assert own.aliases.find("umc/spBv1.0/g/n/d") is None
