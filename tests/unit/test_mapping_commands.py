"""`mapping lint`, `try` and `diff`: what they print, at 60 columns, in a pipe, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from traksense_ingest.ops.cli import main

PLANT = """\
version: 1
name: plant
tenant: acme
routes:
  - name: data
    topics: "plant/{device}/data"
    identity: {site: north}
    time: {path: ts, format: unix_ms}
    points:
      - {path: temp, unit: "°C"}
      - {path: hum}
      - {path: state}
"""
GOOD = {"ts": 1795881600000, "temp": 4.25, "hum": 60, "humidity": 61, "state": "RUN"}
CAPTURE: list[dict[str, Any]] = [
    {"topic": "plant/dev-7/data", "payload": json.dumps(GOOD), "received_at": "2026-11-28T16:00:05Z"},
    {"topic": "plant/dev-7/data", "payload": '{"ts": "x"}', "received_at": "2026-11-28T16:00:05Z"},
    {"topic": "plant/dev-8/data", "payload": '{"ts": 1795881600000}', "received_at": "2026-11-28T16:00:05Z"},
    {"topic": "other", "payload_hex": "ff00", "received_at": "2026-11-28T16:00:05Z", "retained": True},
]


NO_DATABASE = "postgresql://127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plant(tmp_path, monkeypatch)


def write_plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping and a capture, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "plant.yaml").write_text(PLANT)
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in CAPTURE))


def mapping(*arguments: str, width: int | None = 60, **variables: str) -> Result:
    environment = {"DATABASE_URL": NO_DATABASE} | variables | ({"COLUMNS": str(width)} if width else {})
    return CliRunner().invoke(main, ["mapping", *arguments], prog_name="traksense-ingest", env=environment)


def lines_of(result: Result, exit_code: int = 0) -> list[str]:
    assert result.exit_code == exit_code, result.output
    return result.stdout.splitlines()


def json_of(result: Result, exit_code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(result, exit_code)]


BROKEN = PLANT.replace("unix_ms", "unixms").replace("unit:", "unti:").replace("{device}", "{dev}")


def test_lint_shows_every_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text(BROKEN)
    assert lines_of(mapping("lint", "plant.yaml"), 2) == [
        "plant.yaml:7:15: routes[0].identity.device: missing:",
        '"{name}" for a capture of the topic, "{.path}" for a value',
        "of the payload, or a string",
        "    7 |     identity: {site: north}",
        "      |               ^",
        "",
        "plant.yaml:8:30: routes[0].time.format: did you mean",
        "unix_ms? unixms is not allowed; allowed: auto, rfc3339,",
        "unix, unix_ms, unix_us or unix_ns",
        "    8 |     time: {path: ts, format: unixms}",
        "      |                              ^",
        "",
        "plant.yaml:10:22: routes[0].points[0]: did you mean unit?",
        "unknown key unti; allowed: path, name, only, required, time,",
        "distinct_by, unit, units, type, divide, scale, offset, map,",
        "else, numbers_in_text, bools, null, absent",
        '   10 |       - {path: temp, unti: "°C"}',
        "      |                      ^",
        "",
        "3 errors",
    ]
    faults = json_of(mapping("lint", "--json", "plant.yaml", width=None), 2)
    assert [(fault["severity"], fault["file"], fault["line"], fault["column"]) for fault in faults] == [
        ("error", "plant.yaml", 7, 15),
        ("error", "plant.yaml", 8, 30),
        ("error", "plant.yaml", 10, 22),
    ]
    assert faults[2]["where"] == "routes[0].points[0]"
    assert faults[2]["what"].endswith("did you mean unit?")


def test_in_a_pipe_a_fault_is_one_line() -> None:
    Path("plant.yaml").write_text(BROKEN)
    first = lines_of(mapping("lint", "plant.yaml", width=None), 2)[0]
    assert first.startswith("plant.yaml:7:15: routes[0].identity.device: missing: ")


@pytest.mark.parametrize("command", ["lint", "test", "try", "diff"])
def test_a_mapping_with_faults_is_exit_code_2(command: str) -> None:
    Path("plant.yaml").write_text(BROKEN)
    more = {"try": ["--capture", "c.jsonl"], "diff": ["plant.yaml", "--capture", "c.jsonl"]}
    assert mapping(command, "plant.yaml", *more.get(command, [])).exit_code == 2


@pytest.mark.parametrize("command", ["lint", "test", "try"])
def test_without_mappings_it_uses_ingest_mappings(command: str) -> None:
    capture = ["--capture", "c.jsonl"] if command == "try" else []
    assert mapping(command, *capture, INGEST_MAPPINGS="./plant.yaml").exit_code == 0
    assert "which mappings? Name files" in mapping(command, *capture, INGEST_MAPPINGS="").stderr


def test_lint_of_what_is_not_there() -> None:
    assert lines_of(mapping("lint", "absent.yaml", "khom", width=None), 2) == [
        "did you mean khomp? the library has no mapping khom; a file is named by its path, such as ./my.yaml",
        "",
        "absent.yaml can't be read: No such file or directory",
        "",
        "2 errors",
    ]


DOUBTFUL = """\
version: 1
name: plant
tenant: acme
vars: {site: north, unused: x}
defaults:
  identity: {site: "${site}"}
  time: received
routes:
  - name: all
    topics: "plant/{device}/#"
    points: [{leaves: "."}]
  - name: data
    topics: "plant/{device}/{kind}"
    points: [{path: temp}]
  - name: other
    topics: "{area}/seven/{device}/{kind:a|b}"
    points: [{path: temp}]
"""


def test_lint_warns_of_what_is_hardly_meant() -> None:
    Path("plant.yaml").write_text(DOUBTFUL)
    warnings = json_of(mapping("lint", "--json", "plant.yaml"))
    overlap = (
        "its topics +/seven/+/a and plant/+/# of plant/all overlap: a broker of MQTT 5 sends a message that matches "
        "both twice; it is stored once, if it has a time of its own"
    )
    assert [(warning["line"], warning["where"], warning["what"]) for warning in warnings] == [
        (4, "vars", "unused is never used: ${unused} is nowhere"),
        (9, "plant/all", "no test reaches it"),
        (12, "plant/data", "no message reaches it: plant/all (line 9) takes all its topics, without `when`"),
        (12, "plant/data", "no test reaches it"),
        (12, "plant/data", "{kind} of its topics is never used; + says the same"),
        (15, "plant/other", overlap),
        (15, "plant/other", "no test reaches it"),
        (15, "plant/other", "{area} of its topics is never used; + says the same"),
    ]
    assert mapping("lint", "plant.yaml").exit_code == 0
    strict = mapping("lint", "--strict", "plant.yaml")
    assert strict.exit_code == 1
    assert "no errors" in strict.stdout
    assert max(map(cell_len, strict.stdout.splitlines())) <= 60


def test_try_shows_rows_as_a_table_and_what_is_wrong_in_the_payload() -> None:
    assert lines_of(mapping("try", "plant.yaml", "--capture", "c.jsonl")) == [
        "plant/dev-7/data  2026-11-28T16:00:05Z",
        "plant/data: 3 rows",
        "  acme/north/dev-7  2026-11-28T16:00:00Z",
        "  point  value  unit",
        "  temp   4.25   °C",
        "  hum    60",
        '  state  "RUN"',
        "",
        "plant/dev-7/data  2026-11-28T16:00:05Z",
        "dead letter: parse_error: plant/data: ts: Input should be a",
        'number since 1970, is "x"',
        "{",
        '  "ts": "x"   ◀ here: ts: Input should be a number since 1970, is "x"',
        "}",
        "",
        "plant/dev-8/data  2026-11-28T16:00:05Z",
        "plant/data: 0 rows",
        "",
        "other  2026-11-28T16:00:05Z, retained",
        "dead letter: invalid_topic: topic: no mapping has a route",
        "for it",
        "00000000: ff00                                     ..",
        "",
        "4 messages: 2 would be stored, 2 dead letters; nothing was changed",
    ]


def test_try_as_json_has_the_message_and_what_it_becomes() -> None:
    first, wrong, none, other = json_of(mapping("try", "plant.yaml", "--capture", "c.jsonl", "--json"))
    assert {key: first[key] for key in CAPTURE[0]} == CAPTURE[0]
    assert (first["outcome"], first["route"], len(first["rows"])) == ("stored", "plant/data", 3)
    assert first["rows"][0] == {
        "table": "ts_measure",
        "tenant": "acme",
        "site": "north",
        "device": "dev-7",
        "point": "temp",
        "ts": "2026-11-28T16:00:00Z",
        "v_num": 4.25,
        "v_bool": None,
        "v_text": None,
        "unit": "°C",
        "meta": None,
    }
    assert (wrong["outcome"], "rows" in wrong) == ("dead letter", False)
    assert wrong["reason"].startswith("parse_error: plant/data: ts: ")
    assert (none["outcome"], none["rows"]) == ("stored", [])
    assert (other["payload_hex"], other["retained"], other["route"]) == ("ff00", True, None)


def test_try_of_one_message_says_which_route_takes_it_and_why_not_another() -> None:
    Path("plant.yaml").write_text(PLANT.replace('data"\n', 'data"\n    when: {schema: p1}\n'))
    one = ("--topic", "traksense/acme/s/d/telem", "--payload", '{"foo": 1}', "--received", "2026-11-28T16:00:00Z")
    result = mapping("try", "plant.yaml", *one, "-v")
    assert lines_of(result, 1)[:4] == [
        "traksense/acme/s/d/telem  2026-11-28T16:00:00Z",
        "  v1/telem: no, `when` doesn't hold (schema)",
        "  parsec/status: no, `when` doesn't hold (schema, di1)",
        "  parsec/fault: no, `when` doesn't hold (schema, di2)",
    ]
    assert "  v1-unknown/telem: takes it" in result.stdout.splitlines()
    hexadecimal = ("--topic", "plant/7/data", "--hex", "7b22736368656d61223a227031222c227473223a307d")
    shown = lines_of(mapping("try", "plant.yaml", *hexadecimal, "-v", "--received", "2026-11-28T16:00:00Z"), 1)
    assert shown[1] == "  plant/data: takes it"
    assert lines_of(mapping("try", "plant.yaml", "--topic", "x", "--payload", "1", "-v"), 1)[1] == (
        "  no route matches this topic"
    )


def test_try_shows_acks_events_and_devices() -> None:
    ack = '{"schema":"v1","cmd_id":"01HQ","ok":false,"ts_exec":"2026-11-28T16:00:00Z","err":"busy"}'
    shown = lines_of(mapping("try", "khomp", "--topic", "traksense/acme/s/d/ack", "--payload", ack))
    assert shown[1:] == ["v1/ack: 1 row", "  acme/s/d", "  ack  01HQ  2026-11-28T16:00:00Z  failed: busy", ""]
    event = '{"schema":"v1","event_id":"E1","event_type":"boot","ts":"2026-11-28T16:00:00Z","data":{"a":1}}'
    shown = lines_of(mapping("try", "khomp", "--topic", "traksense/acme/s/d/event", "--payload", event))
    assert shown[1:4] == ["v1/event: 1 row", "  acme/s/d", '  event boot  E1  2026-11-28T16:00:00Z  {"a": 1}']


def test_try_saves_what_it_reads_and_never_overwrites(tmp_path: Path) -> None:
    assert mapping("try", "plant.yaml", "--capture", "c.jsonl", "--save", "d.jsonl").exit_code == 0
    assert [*map(json.loads, (tmp_path / "d.jsonl").read_text().splitlines())] == CAPTURE
    again = mapping("try", "plant.yaml", "--capture", "c.jsonl", "--save", "d.jsonl")
    assert (again.exit_code, again.stderr) == (2, "--save=d.jsonl: File exists\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["try", "plant.yaml"], "which messages? --payload, --dlq, --stream, --live or --capture"),
        (["try", "plant.yaml", "--live", "3s", "--dlq", "1"], "--dlq and --live: one is enough"),
        (["try", "plant.yaml", "--payload", "1"], "--topic is missing"),
        (["try", "plant.yaml", "--topic", "a", "--hex", "0"], "--hex: two hexadecimal digits for each byte"),
        (["try", "plant.yaml", "--live", "0s"], "0s is too short to listen"),
        (["try", "plant.yaml", "--live", "1x"], "is no duration"),
        (["try", "absent.yaml", "--topic", "a", "--payload", "1"], "absent.yaml can't be read"),
        (["try", "plant.yaml", "--capture", "absent"], "absent: can't be read: No such file or directory"),
        (["diff", "plant.yaml", "plant.yaml", "--capture", "c.jsonl", "--since", "1d"], "only with --dlq"),
        (["diff", "plant.yaml"], "Missing argument 'NEW'"),
        (["new", "--live", "3s"], "--live needs a topic filter"),
        (["new", "plant/#"], "which messages? --live, --capture or --payload"),
        (["formats", "--copy", "x"], "NAME is missing"),
        (["lnt"], "Did you mean 'lint'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = mapping(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said in result.stderr
