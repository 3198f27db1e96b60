"""What a file's texts become: the values that are compiled."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.support.mappings import HEAD, mapping, route
from traksense_ingest.shared.mapping.decoding import Binary, Decode, FormatName, Js, Packing, Text, Tlv
from traksense_ingest.shared.mapping.expected import LATER
from traksense_ingest.shared.mapping.model import Literally, TenantFrom
from traksense_ingest.shared.mapping.points import (
    CasesPoint,
    EachPoint,
    Else,
    Equal,
    Exists,
    LeavesPoint,
    Missing,
    Not,
    OfType,
    PathPoint,
    Strptime,
    TimeFormat,
    TimeRule,
    ZipPoint,
)
from traksense_ingest.shared.mapping.read.paths import path_of, template_of
from traksense_ingest.shared.mapping.text import Each, Key, Names, Over


def test_conditions() -> None:
    found = route("""when:
  {a: 1, b: [x, null], c: exists, d: absent, e: {not: [1, 2]}, f: {type: [number, null]},
   g: {is: exists}, h: {not: exists}, i: {not: {not: 3}}}""").when
    assert [condition.test for condition in found] == [
        Equal((1,)),
        Equal(("x", None)),
        Exists(True),
        Exists(False),
        Not(Equal((1, 2))),
        OfType(("number", "null")),
        Equal(("exists",)),
        Exists(False),
        Equal((3,)),
    ]


def test_times() -> None:
    assert route("time: received").time == TimeRule(missing=Missing.RECEIVED)
    assert route("time: a.b").time == TimeRule((path_of("a.b"),))
    rule = route("""time:
  paths_joined: [d, t]
  format: [{strptime: "%Y %H"}, auto]
  tz: Europe/Berlin
  absent: 0
  missing: received
  received: {round: 5m}
  before: {date: 2000-01-01, then: reject}""").time
    assert rule == TimeRule(
        paths=(path_of("d"), path_of("t")),
        joined=True,
        formats=(Strptime("%Y %H"), TimeFormat.AUTO),
        tz="Europe/Berlin",
        absent=(0,),
        missing=Missing.RECEIVED,
        round_us=300_000_000,
        before=datetime(2000, 1, 1, tzinfo=UTC),
        before_is=Missing.REJECT,
    )


def test_the_time_that_a_kind_has_without_one() -> None:
    ack, state = route("kind: ack\nack: {cmd_id: x, ok: y}"), route("kind: state\nstate: {online: y}")
    assert (ack.time, state.time) == (TimeRule(missing=Missing.NONE), TimeRule(missing=Missing.RECEIVED))


def test_points() -> None:
    found = route("""points:
  - {path: "a.b", unit: V, divide: 10, map: {1: x}, else: skip, null: row, required: true, only: {c: 1}}
  - {each: a, name: "{.n}", value: v, unit: "{.u}", units: {C: °C}, except: [x, "y*"], rename: {p: q}}
  - {leaves: ".", only: ["*.t"], units: {"*.t": °C, u: V}, override: {b: {rename: c, scale: 0.1}}}
  - {zip: {name: "n[*]", value: v, unit: u}}
  - {name: s, cases: [{when: {a: 1}, value: RUN}, {path: b}]}
distinct_by: unit""").points
    one, each, leaves, arrays, cases = found
    assert isinstance(one, PathPoint)
    assert (one.name.literal, one.required, one.value.divide, one.value.otherwise) == (
        "b",
        True,
        Decimal(10),
        Else.SKIP,
    )
    assert (one.value.map, one.value.null, len(one.only)) == (((1, "x"),), "row", 1)
    assert isinstance(each, EachPoint)
    assert each.each.steps == (Key("a"), Each(Over.ANY))
    assert (each.exclude, each.rename) == (Names(frozenset("x"), ("y*",)), (("p", "q"),))
    assert (each.value.units, each.path.text) == ((("C", "°C"),), "v")
    assert isinstance(leaves, LeavesPoint)
    assert leaves.include == Names(globs=("*.t",))
    assert leaves.value.units_by_name == ((Names(globs=("*.t",)), "°C"), (Names(frozenset("u")), "V"))
    assert (leaves.overrides[0].rename, leaves.overrides[0].value.scale) == ("c", Decimal("0.1"))
    assert isinstance(arrays, ZipPoint)
    name, array = arrays.arrays[0]
    assert (name, array.text, array.steps) == ("name", "n[*]", (Key("n"),))
    assert arrays.value.unit == template_of("{.unit}")
    assert isinstance(cases, CasesPoint)
    assert [(case.literal, case.path) for case in cases.cases] == [("RUN", None), (None, path_of("b"))]
    assert all(point.distinct_by_unit for point in found)
    assert (found[1].where, found[1].place.line, found[1].place.column) == ("routes[0].points[1]", 7, 9)


def test_an_override_has_what_its_entry_says() -> None:
    text = 'points: [{leaves: ".", unit: "{.u}", units: {C: °C}, null: row, override: {a: {unit: V}, b: {divide: 2}}}]'
    one, other = route(text).points[0].overrides  # type: ignore[union-attr]
    assert (one.value.null, one.value.unit, one.value.units) == ("row", template_of("V"), ())
    assert (other.value.unit, other.value.units) == (template_of("{.u}"), (("C", "°C"),))


def test_formats() -> None:
    assert route("decode: cbor").decode == Decode(FormatName.CBOR)
    assert route("decode: {text: {encoding: latin-1}}").decode == Decode(Text("latin-1"))
    inner = route("decode: {cbor: {from: data, unpack: [base64, gzip], into: d}}").decode
    assert inner == Decode(FormatName.CBOR, path_of("data"), (Packing.BASE64, Packing.GZIP), "d")
    struct = route(
        "decode: {binary: {endian: little, fields: [{name: a, type: u8}, {name: b, type: i16, endian: big}]}}"
    )
    assert isinstance(struct.decode.format, Binary)
    assert [(field.name, field.endian) for field in struct.decode.format.fields] == [("a", "little"), ("b", "big")]
    table = route('decode: {tlv: {type_bytes: 2, entries: {"01 75": [{name: a, type: u8}, {name: b, type: u24}]}}}')
    assert isinstance(table.decode.format, Tlv)
    assert [(entry.tag, entry.length) for entry in table.decode.format.entries] == [(b"\x01\x75", 4)]
    script = route("decode: {js: {code: x, cpu_ms: 7}}").decode.format
    assert isinstance(script, Js)
    assert (script.code, script.cpu_ms) == ("x", 7)


@pytest.mark.parametrize(
    ("decode", "unpack"),
    [("json", ("auto",)), ("text", ("auto",)), ("v1", ("auto",)), ("cbor", ()), ("{cbor: {from: d}}", ("auto",))],
)
def test_what_a_payload_is_unpacked_by_itself(decode: str, unpack: tuple[str, ...]) -> None:
    assert route(f"decode: {decode}").unpack == unpack


def test_meta_ack_event_state() -> None:
    assert route('meta: {a: b.c, d: "@site", e: "=x", f: "{.g|upper}"}').meta == (
        ("a", path_of("b.c")),
        ("d", path_of("@site")),
        ("e", Literally("x")),
        ("f", template_of("{.g|upper}")),
    )
    ack = route("kind: ack\nack: {cmd_id: '{.i}', ok: {path: r, map: {done: true, 0: false}}, err: e}").ack
    assert ack
    assert (ack.ok.path, ack.ok.map, ack.err) == (path_of("r"), (("done", True), (0, False)), path_of("e"))
    event = route("kind: event\ntime: t\nevent: {type: boot, data: {a: b}}").event
    assert event
    assert (event.type.literal, event.id, event.data) == ("boot", None, (("a", path_of("b")),))
    state = route("kind: state\nstate: {online: {value: false}, reason: '=NDEATH'}").state
    assert state
    assert (state.online.path, state.online.literal, state.reason) == (None, False, Literally("NDEATH"))


@pytest.mark.parametrize(
    ("head", "identity", "origin", "one_of"),
    [
        ("", "", TenantFrom.TOPIC, None),
        ("tenant: acme\n", "", TenantFrom.LITERAL, ("acme",)),
        ("", "identity: {tenant: acme}", TenantFrom.LITERAL, None),
        ("tenant: {from: topic, one_of: [a, b]}\n", "", TenantFrom.TOPIC, ("a", "b")),
        ("tenant: {from: payload, one_of: a|b}\n", "identity: {tenant: '{.t}'}", TenantFrom.PAYLOAD, ("a", "b")),
    ],
)
def test_tenants(head: str, identity: str, origin: TenantFrom, one_of: tuple[str, ...] | None) -> None:
    found = route(identity, HEAD + head)
    assert (found.tenant.origin, found.tenant.one_of) == (origin, one_of)


def test_defaults_are_for_routes_without_the_key() -> None:
    text = (
        HEAD
        + """defaults: {time: received, kind: event, event: {type: a}, identity: {site: s}}
routes:
  - {name: one, topics: "{tenant}/{device}"}
  - {name: two, topics: "{tenant}/{device}", kind: telem, points: [], time: t}
  - {name: three, topics: "{tenant}/{device}", ignore: true}
"""
    )
    one, two, three = mapping(text).routes
    assert (one.kind, two.kind, three.ignore) == ("event", "telem", True)
    assert two.time == TimeRule((path_of("t"),))
    assert one.identity == two.identity
    assert three.identity is None


def test_variables() -> None:
    text = (
        HEAD
        + """vars: {a: x, b: "${a}/y", n: 10}
tenant: acme
routes:
  - name: r
    topics: "${b}/{device}/$${q}"
    identity: {site: "${a}"}
    time: received
    points: [{path: t, divide: "${n}", map: {"${a}": 1}}]
"""
    )
    found = mapping(text, {"a": "z"}).routes[0]
    assert found.topics[0].filters == ("z/y/+/+",)
    point = found.points[0]
    assert (point.value.divide, point.value.map) == (Decimal(10), (("z", 1),))


def test_tests() -> None:
    text = (
        HEAD
        + """routes:
  - {name: r, topics: "{tenant}/{site}/{device}", time: received, points: []}
tests:
  - name: one
    topic: a/b/c
    payload: {t: [1, x, null]}
    rows: [{point: t, v_num: 1, ts: 2026-11-28T17:00:00+01:00, meta: {a: [1]}}]
  - {name: two, topic: a/b/c, payload_hex: "00 ff", retained: true, received: 2026-11-28,
     messages: [{topic: d, payload: e}], poison: x}
"""
    )
    one, two = mapping(text).tests
    assert one.message.payload == b'{"t": [1, "x", null]}'
    assert one.message.received == LATER
    assert one.rows == ({"point": "t", "v_num": 1, "ts": datetime(2026, 11, 28, 16, tzinfo=UTC), "meta": {"a": [1]}},)
    assert (two.message.payload, two.message.retained, two.message.received) == (
        b"\0\xff",
        True,
        datetime(2026, 11, 28, tzinfo=UTC),
    )
    assert (two.before[0].topic, two.before[0].payload, two.rows, two.poison, two.line) == ("d", b"e", None, "x", 10)
