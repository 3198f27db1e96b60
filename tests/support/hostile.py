"""Strategies for what a device, or whoever has its password, may publish."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

any_text = st.text(st.characters(), max_size=40)  # lone surrogates and NUL included
names = st.sampled_from(
    [
        *(
            "'; DROP TABLE ts_measure; --",
            "\\N",
            "\\.",
            "%",
            "_",
            "*",
            "?",
            "#",
            "+",
            "$1",
            "{0}",
            '"',
            "\\",
            "NULL",
            "",
        ),
        *("\u202eRTL", "e\u0301", "\u00e9", "\u00a0", "x" * 256, "\U0001f9ca" * 256, "x" * 257, "a\tb\nc", "\0"),
    ]
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**53 + 1, 2**63, -(2**64), 10**308, 10**309, 10**4299, 5e-324, -0.0])
)
scalars = st.none() | st.booleans() | numbers | any_text | names | st.sampled_from(["v1", "RUN"])
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner), max_leaves=10)
kinds = st.sampled_from(["telem", "ack", "event", "other"])


def often(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any] = anything) -> st.SearchStrategy[Any]:
    """Nearly right is more interesting than random."""
    return st.sampled_from([right] * 9 + [wrong]).flatmap(lambda chosen: chosen)


good_times = st.sampled_from(["2025-10-07T15:30:00Z", "2025-10-07T15:30:00.123456789+14:00", "2016-12-31T23:59:60Z"])
bad_times = st.sampled_from(
    [
        *("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:60Z", "0001-01-01T00:00:60+23:59"),
        *("1999-12-31T23:59:59Z", "2025-10-07T15:30:00", "2025-10-07", "1759851000", ""),
    ]
)
timestamps = often(good_times, bad_times | anything)
v1 = often(st.just("v1"))
objects = often(st.dictionaries(any_text | names, anything, max_size=3))
point_names = often(names.filter(bool) | st.just("p"))
points = st.lists(
    often(st.fixed_dictionaries({"name": point_names, "v": numbers, "t": st.sampled_from(["float", "num", "int"])}))
    | often(st.fixed_dictionaries({"name": point_names, "v": st.booleans(), "t": st.just("bool")}))
    | often(st.fixed_dictionaries({"name": point_names, "v": any_text | names, "u": often(st.just("°C"))}))
    | often(st.fixed_dictionaries({"name": point_names, "v": st.none()})),
    max_size=4,
)
telem = st.fixed_dictionaries(
    {"schema": v1, "ts": timestamps, "points": often(points)}, optional={"meta": objects, "more": anything}
)
parsec = st.fixed_dictionaries(
    {"ts": timestamps, "di1": often(st.sampled_from([0, 1, 1.0, None]))},
    optional={"di2": often(st.sampled_from([0, 1])), "rssi": often(numbers), "fw": often(any_text)},
)
ack = st.fixed_dictionaries(
    {"schema": v1, "cmd_id": point_names, "ok": often(st.booleans())},
    optional={"ts_exec": timestamps, "err": often(any_text), "more": anything},
)
event = st.fixed_dictionaries(
    {"schema": v1, "event_type": point_names, "ts": timestamps}, optional={"event_id": point_names, "data": objects}
)

# What json.dumps would not write: put in the place of a string.
_RAW = st.sampled_from(
    [
        b"1e400",
        b"-1e-400",
        b"9" * 5000,
        b"0." + b"9" * 5000,
        b"NaN",
        b"-Infinity",
        b"[" * 5000,
        b"\xff",
        b"\0",
        b"\n",
        b"",
    ]
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[Any]) -> bytes:
    """A message's JSON, perhaps with something raw in a place of it, or cut off."""
    payload = json.dumps(draw(messages)).encode()
    match draw(st.sampled_from(["whole"] * 8 + ["raw value", "cut"])):
        case "raw value":
            return payload.replace(draw(st.sampled_from([b'"p"', b"1", b"true", b"null", b'"c"'])), draw(_RAW), 1)
        case "cut":
            return payload[: draw(st.integers(0, len(payload)))]
    return payload


payloads = {
    kind: often(damaged(message), st.binary())
    for kind, message in {"telem": telem | parsec, "ack": ack, "event": event}.items()
}
messages = st.sampled_from(sorted(payloads)).flatmap(lambda kind: st.tuples(st.just(kind), payloads[kind]))


def generate(count: int, seed_: int) -> list[tuple[str, bytes]]:
    """So many kinds and payloads, the same ones for the same seed."""
    found: list[tuple[str, bytes]] = []

    @seed(seed_)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(messages)
    def collect(message: tuple[str, bytes]) -> None:
        found.append(message)

    collect()
    return found
