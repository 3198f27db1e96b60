"""What commands of `mapping` print to be pasted into a shell, and what `mapping new` does before it listens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_mapping_commands import lines_of, mapping
from tests.unit.test_mapping_new import ONE
from traksense_ingest.ops.mapping import sources

KHOMP = '[{"bn":"f803320100024e1a","bt":1795881600},{"n":"rssi","u":"dBW","v":-71}]'
NOW = ("--received", "2026-11-28T16:00:05Z")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def pasted(command: str) -> str:
    """INGEST_MAPPINGS after a shell has run the command."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'{command}\nprintf %s "$INGEST_MAPPINGS"'],
        check=True,
        capture_output=True,
        text=True,
        env={},
    )
    assert done.stderr == ""
    return done.stdout


def test_a_path_with_blanks_can_be_pasted() -> None:
    said = mapping("new", *ONE, "-o", "my plant.yaml").stderr.splitlines()
    assert "  traksense-ingest mapping lint './my plant.yaml'" in said
    assert "  traksense-ingest mapping try './my plant.yaml' --live 30s" in said
    (setting,) = [line for line in said if "INGEST_MAPPINGS=" in line]
    assert pasted(setting) == "./my plant.yaml"


def test_what_is_used_already_stays_in_the_setting() -> None:
    used = "khomp,chirpstack?tenant=acme&tenants=a"
    said = mapping("new", *ONE, INGEST_MAPPINGS=used).stderr.splitlines()
    (setting,) = [line for line in said if "INGEST_MAPPINGS=" in line]
    assert pasted(setting) == f"{used},./plant.yaml"


@pytest.mark.parametrize("used", ["./plant.yaml", "./", "khomp,."])
def test_a_file_that_is_in_the_setting_is_not_added(used: str) -> None:
    said = mapping("new", *ONE, "-o", "plant.yaml", INGEST_MAPPINGS=used).stderr.splitlines()
    (setting,) = [line for line in said if "INGEST_MAPPINGS=" in line]
    assert pasted(setting) == used


def test_a_setting_with_variables_can_be_pasted(tmp_path: Path) -> None:
    up = '{"time":"2026-11-28T16:00:00Z","deviceInfo":{"tags":{"site":"x"}},"object":{"t":1}}'
    topic = "application/7f/device/70b3d57ed0051f2a/event/up"
    said = mapping("new", "--topic", topic, "--payload", up, "--tenant", "a & b", width=None).stderr
    setting = said.partition("; ")[2].splitlines()[0]
    assert setting == "INGEST_MAPPINGS='chirpstack?tenant=a%20%26%20b'"
    assert pasted(setting) == "chirpstack?tenant=a%20%26%20b"
    tasmota = (
        "--topic",
        "tele/pow-3/SENSOR",
        "--payload",
        '{"Time":"2026-11-28T16:00:00","SI7021":{"Temperature":4.1}}',
    )
    said = mapping("new", *tasmota, *NOW, width=None).stderr.splitlines()[0]
    assert said.endswith("this is what `tasmota` reads; INGEST_MAPPINGS='tasmota?tz=…' with your tz in place of the …")
    shown = lines_of(mapping("formats", "tasmota"))
    assert pasted(shown[shown.index("use") + 1].strip()) == "tasmota?tz=…"
    copied = lines_of(mapping("formats", "tasmota", "--copy", "mine.yaml"))
    assert pasted(copied[0].partition("use it instead: ")[2]) == "./mine.yaml?tz=…"


def test_a_file_that_exists_is_refused_before_anything_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(*_arguments: object) -> None:
        raise AssertionError("nothing is listened to")

    monkeypatch.setattr(sources, "listen_until_interrupted", listen)
    Path("plant.yaml").touch()
    result = mapping("new", "--live", "1s", "plant/#", "-o", "plant.yaml")
    assert (result.exit_code, result.stderr) == (2, "--output=plant.yaml: File exists\n")
    result = mapping("new", "--live", "1s", "plant/#", "-o", "nowhere/plant.yaml")
    assert (result.exit_code, result.stderr) == (2, "--output=nowhere/plant.yaml: No such file or directory\n")


def test_no_file_is_written_where_the_library_reads_everything(tmp_path: Path) -> None:
    known = ("--topic", "tenants/umc/sites/a/assets/b/telemetry", "--payload", KHOMP, *NOW)
    result = mapping("new", *known, "-o", "plant.yaml", width=None)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "1 message of 1: this is what `khomp` reads; INGEST_MAPPINGS=khomp",
        "nothing to draft from: no file was written",
    ]
    assert not [*tmp_path.iterdir()]


def drafted(*topics: str, payload: str = '{"temp": 4.25, "hum": 60}', tenant: str | None = "acme") -> str:
    """The file that is drafted of a message on each topic."""
    Path("c.jsonl").write_text(
        "".join(
            json.dumps({"topic": topic, "payload": payload, "received_at": "2026-11-28T16:00:05Z"}) + "\n"
            for topic in topics
        )
    )
    result = mapping("new", "--capture", "c.jsonl", *(["--tenant", tenant] if tenant else []), width=None)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_level_of_which_one_value_was_seen_has_a_comment() -> None:
    text = drafted("office/lab/sensor-01", "office/lab/sensor-02")
    comment = (
        '    # only "lab" was seen here: "office/{site}/{device}" would read every site; then leave out site below\n'
    )
    assert f'{comment}    topics: "office/lab/{{device}}"\n' in text
    wider = text.replace('"office/lab/{device}"', '"office/{site}/{device}"').replace("    identity:\n", "")
    assert "site: main" in text
    Path("wider.yaml").write_text("".join(line for line in wider.splitlines(True) if "      site: main" not in line))
    assert "no errors" in mapping("lint", "wider.yaml").stdout


def test_a_level_that_is_not_the_site_has_a_comment_too() -> None:
    text = drafted("a/house/plant/north/dev-01", "a/house/plant/south/dev-02")
    assert '# only "house" was seen here: "a/+/plant/{site}/{device}" would read every other, too\n' in text


@pytest.mark.parametrize(
    "topics",
    [
        ("greenhouse/gh-1/up", "greenhouse/gh-2/up"),
        ("plant/north/dev-007",),
        ("devices/dev-007/lab",),
        ("lab/dev-007", "lab/dev-008"),
    ],
)
def test_levels_that_say_what_something_is_have_none(topics: tuple[str, ...]) -> None:
    assert "was seen here" not in drafted(*topics)


def test_topics_of_version_1_have_its_levels() -> None:
    text = drafted("traksense/acme/plant1/dev-01/telem", tenant=None)
    assert 'topics: "traksense/{tenant}/{site}/{device}/telem"' in text
    assert "tenant: {from: topic}" in text
    assert "identity:" not in text
    assert "was seen here" not in text
    of_acme = drafted("traksense/acme/plant1/dev-01/telem")
    assert 'topics: "traksense/acme/{site}/{device}/telem"' in of_acme


def test_lines_that_are_left_out_of_a_payload_are_shown_with_v() -> None:
    payload = json.dumps({"v": "x"} | {f"k{number}": number for number in range(40)})
    one = ("--topic", "traksense/a/b/c/telem", "--payload", payload)
    short, full = mapping("try", "khomp", *one).stdout, mapping("try", "khomp", *one, "-v").stdout
    assert "lines: -v\n" in short
    assert "--full" not in short
    assert '"k39": 39' in full
    assert "lines: -v\n" not in full
