"""The parts of `dlq` that need no server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ops.cli import main
from ops.dlq import listing
from ops.dlq.hexdump import hexdump
from ops.dlq.json_lines import find, lines, parse
from ops.dlq.letter import Letter
from ops.dlq.options import duration
from ops.dlq.pace import Pace
from ops.dlq.payload import payload_lines
from ops.dlq.place import Place, places, position, wrong_byte
from ops.dlq.readable import printable
from ops.dlq.show import screen
from writer.decode import Decoder
from writer.entry import Entry
from writer.outcome import Rejected

TOPIC = b"traksense/t/s/d/telem"
TIME = datetime(2026, 1, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def letter(payload: bytes, reason: str = "parse_error: payload: wrong", topic: str = TOPIC.decode()) -> Letter:
    class_ = reason.partition(":")[0]
    is_text = b"\0" not in payload and payload.decode(errors="ignore").encode() == payload
    return Letter(1, TIME, "t", topic, payload, is_text, reason, class_, None, "ingest:{0}", "1-0", 1, None)


def refused(payload: bytes) -> Letter:
    """With the reason that the decoder gives."""
    outcome = Decoder(10**6, 86_400).decode(Entry("ingest:{0}", "1767225600000-0", TOPIC, payload, TIME, 1))
    assert isinstance(outcome, Rejected)
    return letter(payload, outcome.reason)


@pytest.mark.parametrize(
    ("text", "given_"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("4w", timedelta(weeks=4)),
        ("0s", timedelta()),
    ],
)
def test_durations(text: str, given_: timedelta) -> None:
    assert duration(text) == given_


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "1.5h", "1d2h", "1 d", "1y", "٣d", "999999999w", "9" * 5000 + "s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|hundred years"):
        duration(text)


def test_places_of_a_reason() -> None:
    assert places("parse_error: points.1.v: Input should be a valid number") == [
        Place("points.1.v", "Input should be a valid number")
    ]
    several = "parse_error: ts: Field required; points: Field required; and 2 more"
    assert places(several) == [Place("ts", "Field required"), Place("points", "Field required")]
    assert places("data_error: value out of range") == []
    assert places("") == []
    assert position("parse_error: payload: Invalid JSON: expected value at line 3 column 15") == (3, 15)
    assert position("parse_error: ts: Field required") is None
    assert wrong_byte("parse_error: payload: not UTF-8 at byte 17") == 17
    assert wrong_byte("parse_error: payload: wrong") is None
    assert wrong_byte("invalid_topic: topic: not UTF-8 at byte 17") is None


def test_a_path_is_followed_as_far_as_it_goes() -> None:
    value = parse('{"points": [{"v": 1}, {"v": {"a.b": [true]}}], "a": 1}')
    assert find(value, "points.1.v") == ("points", "1", "v")
    assert find(value, "points.1.v.a.b.0") == ("points", "1", "v", "a.b", "0")
    assert find(value, "points.0.name") == ("points", "0"), "what lacks it"
    assert find(value, "points.7") == ("points",)
    assert find(value, "schema") == ()
    assert find(value, "a.b.c") == ("a",)


@given(JSON)
def test_json_is_shown_as_it_is(value: Any) -> None:
    text = json.dumps(value)
    assert json.loads("\n".join(line.text for line in lines(parse(text)))) == value


def test_numbers_and_repeated_keys_stay_as_they_were_written() -> None:
    shown = "".join(
        line.text.strip() for line in lines(parse('{"a": 1.50, "a": 1e400, "b": NaN, "c": ' + "9" * 5000 + "}"))
    )
    assert shown == '{"a": 1.50,"a": 1e400,"b": NaN,"c": ' + "9" * 5000 + "}"


def pointed(of: Letter) -> list[str]:
    return [line.strip() for line in payload_lines(of, full=False) if "◀" in line]


@pytest.mark.parametrize(
    ("payload", "arrow"),
    [
        (b'{"schema":"v1","ts":"x","points":[]}', '"ts": "x",   ◀ here: ts: '),
        (
            b'{"schema":"v1","ts":"2026-01-01T00:00:00Z","points":[{"name":"a"}]}',
            "{   ◀ here: points.0.v: Field required",
        ),
        (b'{"schema":"v2","ts":"2026-01-01T00:00:00Z","points":[]}', '"schema": "v2",   ◀ here: schema: '),
        (b'{"di1":5,"ts":"2026-01-01T00:00:00Z"}', '"di1": 5,   ◀ here: di1: '),
        (b'{"schema":"v1","ts":"2099-01-01T00:00:00Z","points":[]}', '"ts": "2099-01-01T00:00:00Z",   ◀ here: ts: '),
        (b"[1]", "[   ◀ here: payload: "),
        (b'{"other":1}', "{   ◀ here: schema: missing"),
    ],
)
def test_an_arrow_where_the_decoder_says_that_it_is_wrong(payload: bytes, arrow: str) -> None:
    (line,) = pointed(refused(payload))
    assert line.startswith(arrow)


def test_several_arrows() -> None:
    bad = b'{"schema":"v1","ts":"x","points":[{"name":1,"v":2}]}'
    assert len(pointed(refused(bad))) == 2


@pytest.mark.parametrize(
    ("payload", "at"),
    [
        (b'{"ts": oops}', "oops}"),
        ('{"é😀漢": oops'.encode(), "oops"),
        (b'{\n\n "a":\n  oops', "oops"),
        (b'{"a": "' + b"x" * 500 + b'" oops}', "oops}"),
    ],
)
def test_a_caret_where_json_ends_to_be_json(payload: bytes, at: str) -> None:
    shown = list(payload_lines(refused(payload), full=False))
    caret = next(place for place, line in enumerate(shown) if line.endswith("^ here"))
    cells, before = shown[caret].index("^"), ""
    for char in shown[caret - 1]:
        if cell_len(before) >= cells:
            break
        before += char
    assert shown[caret - 1].removeprefix(before).startswith(at)
    assert len(shown[caret - 1]) <= 80


def test_a_long_payload_is_shown_in_part_and_its_arrow_is_in_it() -> None:
    points = [{"name": f"p{place}", "v": "x" if place == 700 else 1, "t": "num"} for place in range(1000)]
    payload = json.dumps({"schema": "v1", "ts": "2026-01-01T00:00:00Z", "points": points}).encode()
    shown = list(screen(refused(payload), full=False))
    assert len(shown) < 70
    assert sum("◀ here: points.700.v" in line for line in shown) == 1
    assert any(line.endswith("--full") for line in shown)
    full = list(screen(refused(payload), full=True))
    assert len(full) > 5000
    assert not any(line.endswith("--full") for line in full)


@pytest.mark.parametrize(
    "payload", [b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"", b"\n" * 1000, b"\xff" * 100]
)
def test_whatever_it_is_it_can_be_shown(payload: bytes) -> None:
    for full in (False, True):
        "\n".join(screen(refused(payload), full=full)).encode()


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown(payload: bytes) -> None:
    for line in screen(letter(payload, "parse_error: payload: Invalid JSON: x at line 2 column 9"), full=False):
        line.encode()
        assert line.lstrip("\n").isprintable()


def test_a_hexdump_is_xxds() -> None:
    assert list(hexdump(bytes(range(60, 80)))) == [
        "00000000: 3c3d 3e3f 4041 4243 4445 4647 4849 4a4b  <=>?@ABCDEFGHIJK",
        "00000010: 4c4d 4e4f                                LMNO",
    ]
    assert list(hexdump(b"")) == []
    assert list(hexdump(b"\x00\x7f\xff")) == ["00000000: 007f ff                                  ..."]


def test_a_hexdump_is_bounded_and_has_the_byte_that_is_pointed_at() -> None:
    shown = list(hexdump(bytes(10_000), lines=8, mark=5000))
    assert shown[0] == "… 4928 bytes before"
    assert [line.partition("◀")[2] for line in shown if "◀" in line] == [" byte 5000"]
    assert shown[-1] == f"… {10_000 - 4928 - 128} bytes more: --full"
    assert len(list(hexdump(bytes(10_000), lines=8))) == 9


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("\x1b[2J\u202eé\x9b\ud800 ok") == r"\x1b[2J\u202eé\x9b\ud800 ok"


@pytest.mark.parametrize(
    ("reason", "topic", "is_exact"),
    [
        ("parse_error: ts: wrong", r"traksense/\xff/s/d/telem", True),
        ("parse_error: ts: wrong", "traksense/t/s/d/telem", True),
        ("invalid_topic: topic: should be other", r"a\xff", True),
        ("invalid_topic: topic: should be other", r"a\x00", False),
        ("invalid_topic: topic: not UTF-8 at byte 3", r"abc\xff", False),
        ("invalid_topic: topic: the entry has no such field", "", False),
        ("parse_error: payload: the entry has no such field", "traksense/t/s/d/telem", False),
        ("max_deliveries: 5: a bug", r"traksense/t\xff/s/d/telem", False),
        ("max_deliveries: 5: a bug", "traksense/t/s/d/telem", True),
    ],
)
def test_which_letters_can_be_replayed_exactly(reason: str, topic: str, is_exact: bool) -> None:
    assert (letter(b"x", reason, topic).obstacle is None) == is_exact


def test_the_pace() -> None:
    pace = Pace(50, room=1000)
    assert (pace.batch, pace.delay(7.0)) == (10, 0)
    pace.sent(10, 7.0)
    assert pace.delay(7.0) == pytest.approx(0.2)
    pace.sent(10, 7.2)
    assert pace.delay(7.2) == pytest.approx(0.2)
    pace.sent(10, 100.0)
    assert pace.delay(100.0) == pytest.approx(0.2), "no credit for the time before"
    assert [Pace(rate, 1000).batch for rate in (0.1, 4, 5000)] == [1, 1, 100]
    assert Pace(5000, 3).batch == 3


@pytest.mark.parametrize("width", [60, 80])
def test_a_list_fits_a_terminal(width: int) -> None:
    row = {
        "id": 123456,
        "ts": TIME,
        "tenant_id": "acme",
        "topic": "traksense/acme/" + "x" * 100,
        "reason": "parse_error: [red]points[/red].1.v: " + "wrong " * 20,
        "replayed_at": None,
    }
    counts = [{"error_class": "parse_error", "rows": 2, "replayed": 0, "latest": TIME}]
    out = StringIO()
    listing.show(Console(file=out, width=width, force_terminal=True, color_system=None), counts, [row, row])
    assert max(map(len, out.getvalue().splitlines())) <= width
    assert "[red]points[/red]" in out.getvalue()


def run(*arguments: str) -> Result:
    return CliRunner(env={"DATABASE_URL": "postgresql://127.0.0.1:1/x"}).invoke(main, ["dlq", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay"], "--all"),
        (["replay", "--from-id", "5"], "which?"),
        (["replay", "--all", "5"], "not together"),
        (["replay", "--all", "--tenant", "t"], "not together"),
        (["replay", "0"], "ID"),
        (["replay", str(2**63)], "ID"),
        (["replay", "--all", "--rate", "0"], "--rate"),
        (["replay", "--all", "--limit", "0"], "--limit"),
        (["list", "--reason", "wrong"], "--reason"),
        (["list", "--since", "yesterday"], "--since"),
        (["list", "--until", "2025-10-07T15:30:00"], "no Z or offset"),
        (["purge"], "--older-than"),
        (["purge", "--older-than", "30"], "no duration"),
        (["show", "x"], "ID"),
        (["wrong"], "wrong"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert said in result.stderr


def test_a_database_that_is_away_is_one_line_and_exit_code_1() -> None:
    result = run("list")
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (1, 1, "")
    assert result.stderr.startswith("DATABASE_URL=postgresql://127.0.0.1:1/x: ")
    assert result.stderr.endswith("; start it, or mend DATABASE_URL\n")


@pytest.mark.parametrize("command", ["list", "show", "replay", "purge", "export"])
def test_help_teaches_by_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"traksense-ingest dlq {command}" in result.output
