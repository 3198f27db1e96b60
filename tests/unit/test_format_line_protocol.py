"""InfluxDB's line protocol: escapes, types, comments, and lines without a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.formats import decoded, refused


def lines(text: str) -> Any:
    return decoded("line_protocol", text.encode())["lines"]


def test_lines() -> None:
    text = (
        '# by hand\n\ncpu,host=edge\\ 1,site=a usage=12.5,n=4i,ok=t,v="a \\"b\\"" 1795881600000001500\r\nmem used=77u'
    )
    assert lines(text) == [
        {
            "measurement": "cpu",
            "tags": {"host": "edge 1", "site": "a"},
            "fields": {"usage": 12.5, "n": 4, "ok": True, "v": 'a "b"'},
            "time": 1795881600000001500,
        },
        {"measurement": "mem", "tags": {}, "fields": {"used": 77}},
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("1", 1.0), ("-1.5e3", -1500.0), ("1.", 1.0), (".5", 0.5), ("+2", 2.0)),
        *(("-9223372036854775808i", -(2**63)), ("18446744073709551615u", 2**64 - 1)),
        *(("t", True), ("TRUE", True), ("False", False), ("f", False)),
        *(('""', ""), ('"a\nb, c=d # e"', "a\nb, c=d # e"), (r'"\\"', "\\"), (r'"\n"', r"\n"), ('"é"', "é")),
    ],
)
def test_values(written: str, value: Any) -> None:
    (line,) = lines(f"m f={written} 5")
    assert line["fields"]["f"] == value
    assert type(line["fields"]["f"]) is type(value)
    assert line["time"] == 5


def test_escapes_in_names() -> None:
    (line,) = lines(r"a\,b\ c\=d,k\=1\,=v\ 1\\x f\ g=1")
    assert line["measurement"] == "a,b c=d"
    assert line["tags"] == {"k=1,": r"v 1\\x"}
    assert line["fields"] == {"f g": 1.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("online", "lines[0]: at character 6: '', should be a space and the fields"),
        ("m f=1\nm f=", "lines[1]: at character 10: '', should be a field's value"),
        ("m f=on", "lines[0]: at character 4: 'on', should be a number, an integer such as 4i, a boolean or a string"),
        ("m f=9223372036854775808i", "lines[0]: at character 4: '9223372036854775808i', should be a number"),
        ("m f=-1u", "lines[0]: at character 4: '-1u', should be a number"),
        ("m f=1e999", "lines[0]: at character 4: '1e999', should be a number"),
        ("m f=nan", "lines[0]: at character 4: 'nan', should be a number"),
        ('m f="a', "lines[0]: at character 4: '\"a', should be a number"),
        ("m,a f=1", "lines[0]: at character 3: ' f=1', should be ="),
        ("m,a= f=1", "lines[0]: at character 4: ' f=1', should be a tag's value"),
        ("m f=1 x", "lines[0]: at character 5: ' x', should be the end of the line"),
        ("m f=1 5 6", "lines[0]: at character 7: ' 6', should be the end of the line"),
        ('m f="a"5', "lines[0]: at character 7: '5', should be the end of the line"),
        (",a=1 f=1", "lines[0]: at character 0: ',a=1 f=1', should be a measurement"),
    ],
)
def test_what_is_wrong(text: str, reason: str) -> None:
    assert refused("line_protocol", text.encode()).startswith(f"parse_error: {reason}")


names = st.text("abé,= .#\"'", min_size=1, max_size=6).filter(lambda name: not name.startswith("#"))
values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text('ab"\\\n,= é#', max_size=8)


def escaped(name: str, characters: str = ",= ") -> str:
    return "".join(f"\\{character}" if character in characters else character for character in name)


def written(value: Any) -> str:
    if isinstance(value, str):
        return f'"{escaped(value, chr(34) + chr(92))}"'
    return f"{value}i" if type(value) is int else str(value)


@given(
    st.lists(
        st.tuples(
            names,
            st.dictionaries(names, names, max_size=3),
            st.dictionaries(names, values | texts, min_size=1, max_size=3),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=4,
    )
)
def test_what_was_written_is_read(given_lines: Any) -> None:
    text = "".join(
        escaped(measurement, ", ")
        + "".join(f",{escaped(key)}={escaped(value)}" for key, value in tags.items())
        + " "
        + ",".join(f"{escaped(key)}={written(value)}" for key, value in fields.items())
        + ("\n" if time is None else f" {time}\n")
        for measurement, tags, fields, time in given_lines
    )
    assert lines(text) == [
        {"measurement": measurement, "tags": tags, "fields": fields} | ({} if time is None else {"time": time})
        for measurement, tags, fields, time in given_lines
    ]
