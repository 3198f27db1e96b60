"""`mapping new`, `test` and `formats`: what they print, and what they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from tests.unit.test_mapping_commands import json_of, lines_of, mapping
from traksense_ingest.ops.cli import main
from traksense_ingest.ops.mapping.library import format_of, names
from traksense_ingest.shared.mapping.load import LIBRARY

ONE = ("--topic", "plant/north/dev-007", "--payload", '{"temp": 4.25}', "--received", "2026-11-28T16:00:05Z")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def test_new_prints_a_file_and_says_on_stderr_what_to_do_next() -> None:
    result = mapping("new", *ONE, "--tenant", "acme")
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
# Drafted by `traksense-ingest mapping new` from messages that came. The language: docs/mapping-language.md
version: 1
name: plant
tenant: acme

routes:
  - name: readings
    topics: "plant/{site}/{device}"
    time: {missing: received, received: {round: "1s"}}  # no time is in the payload: when it was received
    points:
      - {leaves: "."}

tests:
  - name: "readings 1, as it came"
    topic: "plant/north/dev-007"
    received: 2026-11-28T16:00:05Z
    payload: '{"temp": 4.25}'
    rows:
      - {tenant: acme, site: north, device: dev-007, ts: "2026-11-28T16:00:05Z", point: temp, v_num: 4.25}
"""
    )
    assert result.stderr.splitlines() == [
        "drafted from 1 message: 1 route and 1 test, which passes",
        "save it as ./plant.yaml, then",
        "  # read the comments in it, then",
        "  traksense-ingest mapping lint ./plant.yaml",
        "  traksense-ingest mapping try ./plant.yaml --live 30s",
        "  # use it: restart receivers and writers with",
        "  export INGEST_MAPPINGS=./plant.yaml",
    ]


def test_new_writes_a_file_that_lint_and_test_accept_and_never_overwrites(tmp_path: Path) -> None:
    result = mapping("new", *ONE, "-o", "plant.yaml", "--name", "boiler-7")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("plant.yaml: drafted from 1 message")
    assert "name: boiler-7\n" in (tmp_path / "plant.yaml").read_text()
    assert lines_of(mapping("lint", "plant.yaml", "--strict")) == ["1 file, 1 route, 1 test: no errors"]
    assert lines_of(mapping("test", "plant.yaml", "--coverage")) == [
        "1 test of 1 mapping: none failed; no route or point without",
        "a test",
    ]
    again = mapping("new", *ONE, "-o", "plant.yaml")
    assert (again.exit_code, again.stderr) == (2, "--output=plant.yaml: File exists\n")


def test_new_leaves_what_the_library_reads_to_it(tmp_path: Path) -> None:
    khomp = '[{"bn":"f803320100024e1a","bt":1795881600},{"n":"rssi","u":"dBW","v":-71}]'
    up = '{"time":"2026-11-28T16:00:00Z","deviceInfo":{"tags":{"tenant":"globex","site":"x"}},"object":{"t":1}}'
    capture = [
        ("tenants/umc/sites/a/assets/b/telemetry", khomp),
        ("application/7f/device/70b3d57ed0051f2a/event/up", up),
        ("traksense/acme/s/d/telem", '{"schema":"v1","ts":"2026-11-28T16:00:00Z","points":[]}'),
        ("plant/dev-007", ""),
    ]
    lines = [{"topic": topic, "payload": text, "received_at": "2026-11-28T16:00:05Z"} for topic, text in capture]
    lines.append({"topic": "raw/7", "payload_hex": "ff00ff", "received_at": "2026-11-28T16:00:05Z"})
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = mapping("new", "--capture", "c.jsonl", "--tenant", "acme", width=None)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "1 message of 5: this is what `khomp` reads; INGEST_MAPPINGS=khomp",
        "1 message of 5: this is what `chirpstack` reads; INGEST_MAPPINGS='chirpstack?tenant=acme'",
        "1 message of 5: this is what `v1` reads; no mapping is needed",
        "1 message on raw/7: no JSON and no text; docs/formats.md has the other formats, as `decode: {binary: …}`",
        "1 message without a payload: nothing to read",
        "nothing to draft from",
    ]
    (found,) = json_of(mapping("new", "--capture", "c.jsonl", "--json"))
    assert found == {
        "known": [
            {"mapping": "khomp", "setting": "khomp", "messages": 1},
            {"mapping": "chirpstack", "setting": "chirpstack", "messages": 1},
            {"mapping": "v1", "setting": None, "messages": 1},
        ],
        "unreadable": [{"topic": "raw/7", "messages": 1}],
        "draft": None,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tenant", "{x}"], "--tenant: '{x}' can't be a tenant's name"),
        (["--name", "A b"], "--name: 'A b' should be of lower case letters"),
    ],
)
def test_a_name_that_can_not_be_one_is_refused(arguments: list[str], said: str) -> None:
    result = mapping("new", *ONE, *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


FAILING = """\
version: 1
name: plant
tenant: acme
routes:
  - name: data
    topics: "plant/{device}/data"
    identity: {site: north}
    time: {path: ts, format: unix}
    points: [{path: temp, unit: "°C"}, {path: hum}]
  - name: other
    topics: "other/{device}"
    identity: {site: north}
    time: received
    points: []
tests:
  - name: two rows
    topic: plant/dev-7/data
    payload: '{"ts": 1795881600, "temp": 4.25}'
    rows:
      - {tenant: acme, site: north, device: dev-7, ts: "2026-11-28T16:00:00Z", point: temp, v_num: 42.5, unit: "°C"}
      - {point: humidity, v_num: 60}
  - name: no time
    topic: plant/dev-7/data
    payload: '{"ts": "x", "temp": 4.25}'
    rows: []
  - name: that is right
    topic: plant/dev-7/data
    payload: '{"ts": "x"}'
    poison: "ts: "
"""


def test_test_shows_what_was_expected_and_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text(FAILING)
    assert lines_of(mapping("test", "plant.yaml", "--coverage"), 1) == [
        "plant.yaml:16: plant: two rows: failed",
        "  plant/dev-7/data: taken by plant/data",
        "  point temp: v_num expected 42.5, found 4.25",
        '  missing: {tenant: "acme", site: "north", device: "dev-7",',
        '  ts: 2026-11-28T16:00:00Z, point: "humidity", v_num: 60}',
        "",
        "plant.yaml:22: plant: no time: failed",
        "  plant/dev-7/data: taken by plant/data",
        "  expected rows, found poison: parse_error: plant/data: ts:",
        '  Input should be a number since 1970, is "x"',
        "{",
        '  "ts": "x",   ◀ here: ts: Input should be a number since 1970, is "x"',
        '  "temp": 4.25',
        "}",
        "",
        "plant.yaml:9:40: plant/data: routes[0].points[1]: no test",
        "reaches it",
        '    9 |     points: [{path: temp, unit: "°C"}, {path: hum}]',
        "      |                                        ^",
        "",
        "plant.yaml:10:5: plant/other: no test reaches it",
        "   10 |   - name: other",
        "      |     ^",
        "",
        "3 tests of 1 mapping: 2 failed; 2 routes or points without a",
        "test",
    ]
    results = json_of(mapping("test", "plant.yaml", "--json"), 1)
    assert [(result["test"], result["passed"], result["line"], result["route"]) for result in results] == [
        ("two rows", False, 16, "plant/data"),
        ("no time", False, 22, "plant/data"),
        ("that is right", True, 26, "plant/data"),
    ]
    assert results[0]["problems"][0] == "point temp: v_num expected 42.5, found 4.25"


@pytest.mark.long
def test_formats_lists_the_library() -> None:
    lines = lines_of(mapping("formats"))
    listed = [line for line in lines[1 : lines.index("")] if not line.startswith(" ")]
    assert [line.split("?")[0].split()[0] for line in listed] == names()
    assert max(map(cell_len, lines)) <= 60
    for width in (60, 80, 100, None):
        said = "".join(mapping("formats", width=width).stdout.split())
        assert "…" not in said.replace("tz=…", "").replace("{tenant}/…", "")
        for name in names():
            assert name in said
    assert "".join(format_of("khomp").mapping.description.split()) in "".join(mapping("formats").stdout.split())
    found = json_of(mapping("formats", "--json"))
    assert [each["name"] for each in found] == names()
    assert all(each.keys() == {"name", "description", "variables", "topics", "file"} for each in found)


def test_formats_of_one_has_an_example_and_its_rows() -> None:
    lines = lines_of(mapping("formats", "khomp"))
    assert lines[lines.index("becomes") :] == [
        "becomes",
        "  umc/plantaA/f803320100024e1a  2026-11-28T16:00:00Z",
        '  meta {"model": "nit21z", "gateway": "F8033202FFFE11B0",',
        '  "asset": "AHU-07"}',
        "  point             value   unit",
        "  A_temp            4.25    °C",
        "  A_humid           81.5    %",
        "  C1_state          true",
        "  rssi              -71     dBW",
        "  C1                1204    count",
        "  2832f1a40a00005c  -18.75  °C",
    ]


@pytest.mark.parametrize("name", names())
def test_each_format_has_an_example_with_rows(name: str) -> None:
    (found,) = json_of(mapping("formats", name, "--json", width=None))
    assert found["description"]
    assert found["example"]["rows"]


def test_a_copy_of_a_format_is_a_file_to_be_edited(tmp_path: Path) -> None:
    result = mapping("formats", "chirpstack", "--copy", "mine.yaml")
    use = "use it instead: INGEST_MAPPINGS=./mine.yaml"
    assert result.stdout == f"mine.yaml: a copy of chirpstack; {use}\n"
    assert (tmp_path / "mine.yaml").read_bytes() == (LIBRARY / "chirpstack.yaml").read_bytes()
    assert mapping("lint", "mine.yaml?tenant=acme").exit_code == 0
    assert mapping("formats", "chirpstack", "--copy", "mine.yaml").exit_code == 2


def test_a_format_that_is_not_there() -> None:
    result = mapping("formats", "chirpstak")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "the library has no mapping 'chirpstak'; did you mean chirpstack? It has advantech, "
    )
    assert mapping("formats", "zzz").stderr.startswith("the library has no mapping 'zzz'; it has advantech, ")
    assert format_of("tasmota").needed == ["tz"]


def test_completion_knows_the_commands() -> None:
    environment = {
        "_TRAKSENSE_INGEST_COMPLETE": "bash_complete",
        "COMP_WORDS": "traksense-ingest mapping ",
        "COMP_CWORD": "2",
    }
    result = CliRunner().invoke(main, prog_name="traksense-ingest", env=environment)
    assert [line.partition(",")[2] for line in result.stdout.splitlines()] == [
        "lint",
        "test",
        "try",
        "diff",
        "new",
        "formats",
    ]
