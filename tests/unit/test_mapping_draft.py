"""`mapping new`: what it finds in messages, and that each draft is right about those that it is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from traksense_ingest.ops.mapping.draft.draft import Draft, draft_of, engine_of
from traksense_ingest.ops.mapping.draft.samples import Form, sample_of
from traksense_ingest.ops.mapping.rows import rows_of
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.writer.decode.mapped.check import run_tests
from traksense_ingest.writer.outcome import Decoded

RECEIVED = datetime(2026, 11, 28, 16, 0, 5, 123000, tzinfo=UTC)
UNIX = 1795881600
SETTINGS = Settings(_env_file=None)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["2026-11-28T16:00:00Z", "2026-11-28 17:00:00", "28.11.2026 16:00", UNIX, UNIX * 1000, 0, "ON"])
)
KEYS = st.text(max_size=12) | st.sampled_from(
    ["ts", "time", "device_id", "id", "site", "value", "unit", "sensors", "name", "fw", "n", "v", "u", "bn", "t"]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
LEVELS = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["plant", "sites", "north", "devices", "dev-001", "dev-002", "data", "{x}", "$sys", "telemetry", "acme", "tenants"]
)
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
PAYLOADS = JSON.map(lambda value: json.dumps(value).encode()) | st.text(min_size=1).map(str.encode)
MESSAGES = st.builds(Message, topic=TOPICS, payload=PAYLOADS, received=st.just(RECEIVED), retained=st.booleans())


def drafted(*messages: tuple[str, Any], tenant: str | None = None) -> Draft:
    """Of topics and payloads, a second apart."""
    samples = [
        sample_of(Message(topic, payload_of(value), RECEIVED + timedelta(seconds=number)))
        for number, (topic, value) in enumerate(messages)
    ]
    return draft_of(samples, tenant, None, ()).draft(SETTINGS)


def payload_of(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def routes_of(draft: Draft) -> str:
    """What is between the head and the tests."""
    return draft.text.partition("\nroutes:\n")[2].partition("\ntests:\n")[0]


def rows(draft: Draft, message: Message) -> list[dict[str, Any]]:
    outcome = engine_of(draft.mapping, SETTINGS).decode(message)
    assert isinstance(outcome, Decoded), outcome
    return rows_of(outcome)


@settings(max_examples=examples(600))
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_every_draft_is_without_faults_and_passes_its_own_tests(messages: list[Message]) -> None:
    samples = [sample for message in messages if (sample := sample_of(message)).form is not Form.OTHER]
    if not samples:
        return
    draft = draft_of(samples, None, None, ()).draft(SETTINGS)
    report = run_tests(draft.mapping)
    assert draft.mapping.tests
    assert not report.failed, draft.text
    assert not [each for each in report.unreached if not each.where], draft.text
    assert {test.message for test in draft.mapping.tests} <= {sample.message for sample in samples}
