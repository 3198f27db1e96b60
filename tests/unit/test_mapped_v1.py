"""Version 1 as a route: what pydantic says of a message is what the route says, on every message."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz import target
from tests.support import mapped
from tests.support.budget import examples
from tests.support.decoding import TS, v1
from tests.support.hostile import anything, kinds, messages
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.writer.decode.decode import Decoder, reject_for
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.decode.mapped.v1 import NESTING_SAFE, V1
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.decode.topic import Topic, parse_topic
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded, Ignored, Outcome, Poison

LIMIT = 100_000
DECODER = Decoder(LIMIT, 86_400, lambda: target.NOW)
ROUTES = MappedRoutes(
    Mappings(mapped.version_1(), frozenset()), max_payload_bytes=LIMIT, max_future_s=86_400, clock=lambda: target.NOW
)
CASES = [json.loads(line) for line in target.CASES.read_text().splitlines()]
POINT = {"name": "p", "t": "float", "v": 1.5, "u": "°C"}


def message(payload: bytes | str, kind: str = "telem", retained: bool = False) -> Entry:
    content = payload if isinstance(payload, bytes) else payload.encode()
    fields = [b"topic", f"traksense/t/s/d/{kind}".encode(), b"payload", content]
    return parse_entry("s", target.ID, fields)._replace(retained=retained)


def as_value(outcome: Outcome) -> Any:
    """An outcome that can be compared, floats and their signs included."""
    if not isinstance(outcome, Decoded):
        return outcome
    rows = [
        (one.tenant_id, one.device_id, one.ts, one.meta, repr(one.readings), one.repeated)
        if isinstance(one, Measures)
        else one
        for one in outcome.rows
    ]
    return outcome._replace(rows=tuple(rows))  # type: ignore[arg-type]


def by_pydantic(entry: Entry, decoder: Decoder = DECODER) -> Outcome:
    """What pydantic alone makes of a message that is not empty."""
    try:
        return decoder.decoded(entry, parse_topic(entry.topic or b""))
    except Poison as poison:
        return reject_for(entry, poison)


def agree(entry: Entry) -> None:
    outcome = ROUTES.decode(entry)
    if not entry.payload:
        assert isinstance(outcome, Ignored)
        return
    assert as_value(outcome) == as_value(by_pydantic(entry))


@settings(max_examples=examples(2500))
@given(messages, st.booleans())
def test_both_agree_on_messages_that_are_nearly_right(sent: tuple[str, bytes], retained: bool) -> None:
    kind, payload = sent
    agree(message(payload, kind, retained))


@given(anything, kinds)
def test_both_agree_on_any_json(value: object, kind: str) -> None:
    agree(message(json.dumps(value), kind))
    agree(message(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"), kind))


@given(st.binary(), kinds)
def test_both_agree_on_any_bytes(payload: bytes, kind: str) -> None:
    agree(message(payload, kind))


_values = st.sampled_from(
    [
        *("1", "1.0", "-0", "-0.0", "1e2", "1E+2", "0.1", "1e400", "1e-400", "123456789012345678901234567890", "2e15"),
        *('"x"', '"\\u00b0"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', "true", "null", "[]", "{}", "NaN", '"a"'),
        *("9" * 5000, "0." + "9" * 5000, "1e" + "9" * 50, '"' + "y" * 257 + '"', "[" * 300 + "]" * 300),
    ]
)
_keys = st.sampled_from(["name", "v", "t", "u", "schema", "ts", "points", "meta", "x"])


def _object(fields: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """JSON that json.dumps would not write: keys that come twice, in any order, numbers in all their forms."""
    point = [("name", '"p"'), ("v", draw(_values)), ("t", draw(st.sampled_from(['"float"', '"bool"', "null", '""'])))]
    point += draw(st.lists(st.tuples(_keys, _values), max_size=2))
    points = [_object(draw(st.permutations(point))), json.dumps(POINT)]
    meta = _object([("a", draw(_values)), ("b", draw(_values))])
    fields = [("schema", '"v1"'), ("ts", json.dumps(TS)), ("points", f"[{','.join(points)}]")]
    fields += draw(st.lists(st.tuples(_keys, _values) | st.just(("meta", meta)), max_size=2))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    return space + _object(draw(st.permutations(fields))) + space


@settings(max_examples=examples(2500))
@given(texts())
@example(f'{{"schema":"v1","ts":"{TS}","points":[],"meta":{{"a":1e16,"b":0.00001}}}}')
def test_both_agree_on_json_as_it_may_be_written(text: str) -> None:
    agree(message(text.encode(errors="surrogatepass")))
    agree(message(gzip.compress(text.encode(errors="surrogatepass"))))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_both_agree_on_the_known_cases(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload"].encode()
    fields = [b"topic", case["topic"].encode(), b"payload", payload]
    entry = parse_entry("s", target.ID, fields)
    if case["topic"].startswith("traksense/"):
        agree(entry)


@pytest.mark.parametrize("path", sorted(target.CORPUS.iterdir()), ids=lambda path: path.name)
def test_both_agree_on_what_was_found_once(path: Path) -> None:
    topic, payload = target.split(path.read_bytes())
    if topic.startswith(b"traksense/"):
        agree(parse_entry("s", target.ID, [b"topic", topic, b"payload", payload]))


@pytest.mark.parametrize("depth", [10, NESTING_SAFE, 190, 199, 200, 201, 250, 900, 1023, 1025])
@pytest.mark.parametrize("place", ["more", "meta", "point"])
def test_both_agree_on_nesting(depth: int, place: str) -> None:
    deep = "[" * depth + "]" * depth
    inside = {"more": f',"x":{deep}', "meta": f',"meta":{{"x":{deep}}}', "point": ""}[place]
    point = f'{{"name":"p","v":1.5,"t":"float","u":"C","x":{deep}}}' if place == "point" else json.dumps(POINT)
    agree(message(f'{{"schema":"v1","ts":"{TS}","points":[{point}]{inside}}}'))


@pytest.mark.parametrize("count", [149, 1000, 10_000, 10_001])
def test_both_agree_on_many_points(count: int) -> None:
    points = ",".join(f'{{"name":"p{number}","v":{number}}}' for number in range(count))
    text = f'{{"schema":"v1","ts":"{TS}","points":[{points}]}}'
    routes = MappedRoutes(
        Mappings(mapped.version_1(), frozenset()),
        max_payload_bytes=10**6,
        max_future_s=86_400,
        clock=lambda: target.NOW,
    )
    own = Decoder(10**6, 86_400, lambda: target.NOW)
    assert as_value(routes.decode(message(text))) == as_value(by_pydantic(message(text), own))


class _Refusing(Decoder):
    def decoded(self, entry: Entry, topic: Topic) -> Decoded:
        raise AssertionError("pydantic is asked")


@pytest.mark.parametrize(
    "payload",
    [
        v1(POINT, POINT | {"name": "q"}, meta={"fw": "1.2.3", "n": 1, "x": 1.5, "ok": True, "none": None}),
        v1({"name": "a", "v": True}, {"name": "b", "t": "enum", "v": "RUN"}, {"name": "c", "v": None}, more={"x": [1]}),
        v1(POINT, POINT, POINT | {"v": 2}),
        v1(),
        v1(*({"name": f"p{number}", "t": "num", "v": 0.5, "u": None} for number in range(1000))),
    ],
)
def test_what_is_plain_is_not_given_to_pydantic(payload: str) -> None:
    routes = V1(_Refusing(LIMIT, 86_400, lambda: target.NOW))
    entry = message(payload)
    assert entry.topic
    fast = routes.decode(entry, parse_topic(entry.topic), json.loads(payload))
    assert as_value(fast) == as_value(by_pydantic(entry))
