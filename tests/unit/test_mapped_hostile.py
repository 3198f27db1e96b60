"""Whatever is published on the topics of the mappings that ship: rows, a dead letter or nothing, and never a bug."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import mapped
from tests.support.budget import examples
from tests.support.hostile import any_text, anything
from tests.support.storable import check_storable
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping
from traksense_ingest.shared.mapping.text import Capture, TopicPattern
from traksense_ingest.writer.outcome import Deferred, Outcome

MAPPINGS = {path.stem: mapped.file(path) for path in mapped.all_files()}
DECODINGS = {
    mapping.file: mapped.Decoding(Mappings((mapping, *mapped.version_1()), frozenset()))
    for mapping in MAPPINGS.values()
}
LEVELS = st.sampled_from(["x", "a/b", "é", "x" * 128, "x" * 129, "\x01", "$", " "]) | st.text(min_size=1, max_size=8)


def outcome(mapping: Mapping, topic: str | bytes, payload: bytes, retained: bool = False) -> Outcome:
    found = DECODINGS[mapping.file].outcome(
        topic if isinstance(topic, bytes) else topic.encode(errors="replace"), payload, retained=retained
    )
    if isinstance(found, Deferred):
        raise AssertionError(f"a bug: {found.error!r}") from found.error
    return found


@st.composite
def topics(draw: st.DrawFn, pattern: TopicPattern) -> str:
    """One that the pattern matches, or nearly."""
    levels = [
        "".join(part if isinstance(part, str) else _captured(draw, part) for part in level.parts)
        for level in pattern.levels
    ]
    return "/".join([*levels, *([draw(LEVELS)] if pattern.rest else [])])


def _captured(draw: st.DrawFn, capture: Capture) -> str:
    return draw(st.sampled_from(capture.choices)) if capture.choices else draw(LEVELS).replace("/", "")


@st.composite
def nearly_right(draw: st.DrawFn, message: Message) -> bytes:
    """A test's payload with something else in it."""
    try:
        document = json.loads(message.payload)
    except ValueError:
        at = draw(st.integers(0, len(message.payload)))
        return message.payload[:at] + draw(st.binary(max_size=8)) + message.payload[draw(st.integers(at, at + 8)) :]
    places = list(_places(document))
    for container, key in draw(st.lists(st.sampled_from(places), max_size=3)) if places else []:
        container[key] = draw(anything | st.sampled_from([1e308, -1, 2**63, "1e400", "", None, {}, [], "x" * 300]))
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


@settings(max_examples=examples(1500))
@given(st.data(), st.sampled_from(sorted(name for name, mapping in MAPPINGS.items() if mapping.tests)))
def test_messages_that_are_nearly_right(data: st.DataObject, name: str) -> None:
    mapping = MAPPINGS[name]
    tests = [message for test in mapping.tests for message in (*test.before, test.message)]
    message = tests[data.draw(st.integers(0, len(tests) - 1))]
    check_storable(outcome(mapping, message.topic, data.draw(nearly_right(message)), data.draw(st.booleans())))


@settings(max_examples=examples(1000))
@given(st.data(), st.sampled_from(sorted(MAPPINGS)))
def test_any_payload_on_any_topic_of_a_route(data: st.DataObject, name: str) -> None:
    mapping = MAPPINGS[name]
    patterns = [pattern for route in mapping.routes for pattern in route.topics]
    pattern = patterns[data.draw(st.integers(0, len(patterns) - 1))]
    json_texts = anything.map(lambda value: json.dumps(value).encode())
    payload = data.draw(st.binary() | json_texts | any_text.map(lambda text: text.encode(errors="surrogatepass")))
    check_storable(outcome(mapping, data.draw(topics(pattern)), payload, data.draw(st.booleans())))
