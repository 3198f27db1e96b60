"""Each kind of error in mapping files: where it is, what was found, what is allowed. And all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.mappings import HEAD, faults
from traksense_ingest.shared.mapping.read.mapping import read_mapping

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "mapping_faults.yaml").read_text())
ROUTE = HEAD + "routes:\n  - name: r\n    topics: '{tenant}/{site}/{device}'\n    time: received\n    points: []\n"


def with_route(line: str) -> str:
    return f"{ROUTE}    {line}\n"


def test_a_file_without_faults() -> None:
    assert faults(ROUTE) == []


def cases(section: str) -> list[tuple[str, str]]:
    """What is written and how its error begins, of tests/cases/mapping_faults.yaml."""
    return [(text, fault) for case in CASES[section] for text, fault in case.items()]


@pytest.mark.parametrize(("text", "fault"), cases("file"))
def test_of_a_file(text: str, fault: str) -> None:
    found = faults(text.replace("HEAD", HEAD).replace("ROUTE", ROUTE))
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize(("line", "fault"), cases("route"))
def test_of_a_route(line: str, fault: str) -> None:
    found = faults(with_route(line))
    assert any(text.startswith(fault) for text in found), found


@pytest.mark.parametrize(("topics", "fault"), cases("topics"))
def test_of_topics(topics: str, fault: str) -> None:
    found = faults(ROUTE.replace("'{tenant}/{site}/{device}'", topics))
    assert any(fault in text and text.startswith("m.yaml:") for text in found), found


@pytest.mark.parametrize(("points", "fault"), cases("points"))
def test_of_points(points: str, fault: str) -> None:
    found = faults(ROUTE.replace("points: []", f"points: {points}"))
    assert any(fault in text for text in found), found


@pytest.mark.parametrize(("tests", "fault"), cases("tests"))
def test_of_tests(tests: str, fault: str) -> None:
    found = faults(f"{ROUTE}tests: {tests}")
    assert any(fault in text for text in found), found


def test_tenants() -> None:
    literal = ROUTE.replace("name: m", "name: m\ntenant: {from: literal, value: acme, one_of: [umc]}")
    assert "identity.tenant acme is not one of umc" in faults(literal)[0]
    other = with_route("identity: {tenant: umc}").replace("name: m", "name: m\ntenant: {from: literal, value: acme}")
    assert "identity.tenant umc is not one of acme" in faults(other)[0]
    topic = with_route("identity: {tenant: '{.t}'}").replace("name: m", "name: m\ntenant: {from: topic}")
    assert "identity.tenant {.t} is from the payload, but tenant is from: topic" in faults(topic)[0]
    chosen = with_route("identity: {tenant: '{tenant|or:.t}'}")
    assert "identity.tenant is from the payload" in faults(chosen)[0]


def test_one_fault_hides_no_other() -> None:
    text = HEAD + (
        "colour: red\n"
        "routes:\n"
        "  - {name: a, topics: 'x/#/y', time: 3, points: [{path: 'a..b', divide: x}, {leaves: c, uni: d}]}\n"
        "  - {name: a, topics: '{tenant}/{site}/{device}', kind: ack, points: []}\n"
        "tests: [{topic: 1, rows: 2}]\n"
    )
    found = "\n".join(faults(text))
    for part in (
        "unknown key colour",
        "x/#/y",
        "a..b",
        "divide: expected a number, found x",
        "unknown key uni;",
        "routes[1].ack: missing",
        "points are only for kind telem",
        "duplicate name a, first used in line 5",
        "tests[0].name: missing",
        "tests[0].rows: expected a list of rows, or [] for none, found 2",
    ):
        assert part in found, (part, found)


def test_what_defaults_say_wrongly_is_said_once() -> None:
    text = (
        HEAD
        + "defaults: {time: {path: t, tz: Nowhere}}\nroutes:\n"
        + "".join(
            f"  - {{name: r{index}, topics: '{index}/{{tenant}}/{{site}}/{{device}}', points: []}}\n"
            for index in range(3)
        )
    )
    assert len(faults(text)) == 1
    assert faults(text)[0].startswith("m.yaml:3:32: defaults.time.tz: unknown time zone Nowhere")


def test_a_text_of_a_file_never_breaks_a_line() -> None:
    text = with_route('kind: "a\\nb' + "x" * 100 + '"')
    assert all("\n" not in line and len(line) < 200 for line in faults(text))


def test_not_utf8() -> None:
    read = read_mapping(b"version: 1\nname: \xff", Path("m.yaml"), "m.yaml", {})
    assert [str(fault) for fault in read.faults] == ["m.yaml:2:7: not UTF-8"]
    large = read_mapping(b" " * 1_100_000, Path("m.yaml"), "m.yaml", {})
    assert [str(fault) for fault in large.faults] == ["m.yaml:1:1: larger than 1048576 bytes"]
