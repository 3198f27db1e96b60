"""A row's tenant and device are the topic's, letter for letter, whatever the topic or the payload is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from tests.support.decoding import v1_routes
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Decoded, Outcome, Rejected
from traksense_ingest.writer.store.dead_letter import dead_letter_row

NOW = datetime(2025, 10, 7, 16, 0, tzinfo=UTC)
DECODER = v1_routes(max_payload_bytes=100_000, max_future_s=86_400, clock=lambda: NOW)
TS = "2025-10-07T15:30:00Z"
KINDS = ("telem", "ack", "event")

# Names that another part of a system might take for another name.
TRICKY = ["", ".", "..", "../acme", "acme/..", "%2e%2e", "acme%2Fplant", "acme\0", "acme ", " acme", "ACME", "acme;"]
TRICKY += ["+", "#", "*", "$share", "traksense", "telem", "a\\b", "'; --", "\u0430cme", "\uff41cme"]
TRICKY += ["acme\u200b", "acme\ufeff", "e\u0301", "\u00e9"]
tricky = st.sampled_from([*TRICKY, "x" * 128, "x" * 129])
names = tricky | st.text(max_size=140)
levels = st.lists(names | st.sampled_from(["traksense", "telem", "ack", "event"]), max_size=7)
topics = levels.map("/".join) | st.tuples(names, names, names, st.sampled_from(KINDS)).map(
    lambda four: "/".join(("traksense", *four))
)

# What a device might say of itself in the hope to be taken for another.
claims = st.fixed_dictionaries(
    {},
    optional={
        key: st.just("victim") | st.just({"tenant_id": "victim", "device_id": "victim"})
        for key in ("tenant_id", "tenant", "device_id", "device", "site", "site_id", "topic", "stream", "entry_id")
    },
)


def decode(topic: bytes, payload: object) -> Outcome:
    fields = [b"topic", topic, b"payload", json.dumps(payload).encode()]
    return DECODER.decode(parse_entry("ingest:{0}", b"1-0", fields))


def message(kind: str, claim: dict[str, Any]) -> dict[str, Any]:
    """A good message of a kind that claims to be another's wherever there is room for it."""
    match kind:
        case "telem":
            point = {**claim, "name": "p", "v": 1}
            return {**claim, "schema": "v1", "ts": TS, "points": [point], "meta": {**claim, "deep": [claim]}}
        case "ack":
            return {**claim, "schema": "v1", "cmd_id": "c", "ok": True, "more": claim}
        case "event":
            return {**claim, "schema": "v1", "event_type": "boot", "ts": TS, "data": {**claim, "deep": [claim]}}
    return {**claim, "ts": TS, "di1": 1, "fw": "1", "meta": claim}


def places(outcome: Decoded) -> set[tuple[str, str]]:
    """Tenant and device of every row that the message would become."""
    return {(part.tenant_id, part.device_id) for part in (*outcome.devices, *outcome.rows)}


@settings(max_examples=examples(1000))
@given(topics, st.sampled_from([*KINDS, "parsec"]), claims)
def test_every_row_is_the_topics(topic: str, kind: str, claim: dict[str, Any]) -> None:
    outcome = decode(topic.encode(errors="surrogatepass"), message(kind, claim))
    names = topic.split("/")
    if isinstance(outcome, Decoded):
        assert (len(names), names[0], names[4] in KINDS) == (5, "traksense", True)
        assert places(outcome) == {(names[1], names[3])}
        assert [device.site_id for device in outcome.devices] == [names[2]]
    else:
        assert isinstance(outcome, Rejected)
        row = dead_letter_row(outcome)
        assert row.tenant_id is None or (names[0], names[1]) == ("traksense", row.tenant_id)
        assert (row.stream, row.entry_id) == ("ingest:{0}", "1-0")


@settings(max_examples=examples(500))
@given(st.binary(max_size=60), claims)
def test_bytes_that_are_no_text_name_nobody_else(raw: bytes, claim: dict[str, Any]) -> None:
    topic = b"traksense/" + raw + b"/s/d/telem"
    outcome = decode(topic, message("telem", claim))
    tenants = {tenant for tenant, _ in places(outcome)} if isinstance(outcome, Decoded) else {tenant_in_row(outcome)}
    for tenant in tenants - {None}:
        assert tenant is not None
        assert topic.split(b"/")[1] == tenant.encode()


def tenant_in_row(outcome: Outcome) -> str | None:
    assert isinstance(outcome, Rejected)
    return dead_letter_row(outcome).tenant_id


@pytest.mark.parametrize("kind", [*KINDS, "parsec"])
def test_a_good_message_with_claims_is_stored_under_its_topic(kind: str) -> None:
    claim = {"tenant_id": "victim", "tenant": "victim", "device_id": "victim", "site": "victim", "topic": "victim"}
    topic = f"traksense/acme/plant/fridge/{kind if kind in KINDS else 'telem'}"
    outcome = decode(topic.encode(), message(kind, claim))
    assert isinstance(outcome, Decoded)
    assert places(outcome) == {("acme", "fridge")}
    assert [device.site_id for device in outcome.devices] == ["plant"]


@pytest.mark.parametrize(
    "topic",
    [
        "traksense/acme/../victim/s/d/telem",
        "traksense//acme/d/telem",
        "traksense/acme//d/telem",
        "traksense/acme/s//telem",
        "/traksense/acme/s/d/telem",
        "traksense/acme/s/d/telem/",
        "traksense/victim/acme/s/d/telem",
        "Traksense/acme/s/d/telem",
        "traksense/acme\0/s/d/telem",
        "traksense/ac\nme/s/d/telem",
        f"traksense/{'x' * 129}/s/d/telem",
    ],
)
def test_such_topics_are_refused(topic: str) -> None:
    assert isinstance(decode(topic.encode(), message("telem", {})), Rejected)


@pytest.mark.parametrize("tenant", ["..", "%2e%2e", "аcme", "ACME", "acme ", "+", "#", "acme\u200b", "acme%2Fvictim"])
def test_a_name_that_only_looks_like_anothers_is_its_own(tenant: str) -> None:
    outcome = decode(f"traksense/{tenant}/s/d/telem".encode(), message("telem", {}))
    assert isinstance(outcome, Decoded)
    assert places(outcome) == {(tenant, "d")}
