"""`mapping diff`: what it prints, at 60 columns and as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.test_mapping_commands import PLANT, json_of, lines_of, mapping, write_plant
from traksense_ingest.ops.mapping import sources
from traksense_ingest.ops.mapping.difference import Alike, Difference
from traksense_ingest.ops.mapping.options import Given
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.expected import Message


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plant(tmp_path, monkeypatch)


NEW = PLANT.replace("{path: temp,", "{path: temp, scale: 10,").replace("path: hum", "path: humidity, name: hum")


def test_diff_shows_what_changes(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW.replace("      - {path: state}\n", "      - {path: humidity}\n"))
    assert lines_of(mapping("diff", "plant.yaml", "new.yaml", "--capture", "c.jsonl"), 1) == [
        "plant/dev-7/data  2026-11-28T16:00:05Z",
        '  -  acme/north/dev-7  state     "RUN"  2026-11-28T16:00:00Z',
        "  ~  acme/north/dev-7  temp      4.25 → 42.5",
        "  ~  acme/north/dev-7  hum       60 → 61",
        "  +  acme/north/dev-7  humidity  61  2026-11-28T16:00:00Z",
        "",
        "4 messages, 1 with a difference; rows: 1 added, 1 removed, 2",
        "different",
    ]
    changed, summary = json_of(mapping("diff", "plant.yaml", "new.yaml", "--capture", "c.jsonl", "--json"), 1)
    assert [change["kind"] for change in changed["rows"]] == ["removed", "different", "different", "added"]
    assert summary == {"summary": {"messages": 4, "same": 3, "added": 1, "removed": 1, "different": 2}}


def test_diff_shows_what_is_stored_from_then_on_or_no_longer(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(PLANT.replace("name: plant", "name: other").replace("unix_ms", "unix"))
    shown = lines_of(mapping("diff", "plant.yaml", "new.yaml", "--capture", "c.jsonl", width=None), 1)
    assert shown[1] == "  - stored"
    assert shown[2].startswith("  + dead letter: out_of_range: ")
    assert shown[-1] == "4 messages, 2 with a difference; rows: 0 added, 3 removed, 0 different"


def test_no_difference_is_exit_code_0(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(PLANT.replace("name: plant", "name: other"))
    assert lines_of(mapping("diff", "plant.yaml", "new.yaml", "--capture", "c.jsonl")) == ["4 messages, no difference"]
    (tmp_path / "none.jsonl").write_text("")
    assert lines_of(mapping("diff", "plant.yaml", "new.yaml", "--capture", "none.jsonl")) == ["no messages"]


async def test_of_filters_that_others_cover_nothing_is_subscribed_to_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def listen(_settings: Settings, filters: Sequence[str], _seconds: float) -> AsyncIterator[Message]:
        asked.append([*filters])
        nothing: list[Message] = []
        for message in nothing:
            yield message

    monkeypatch.setattr(sources, "listen_until_interrupted", listen)
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    for source, filters in (
        (sources.Source(Given(), live=1.0), ("plant/+/data", "plant/#", "plant/#")),
        (sources.Source(Given(), live=1.0, filters=("plant/7/data", "plant/#", "other/#")), ()),
    ):
        assert [message async for message in source.messages(settings, filters)] == []
    assert asked == [["plant/#"], ["plant/#", "other/#"]]


async def _dead_letters(*_arguments: object) -> AsyncIterator[Message]:
    received = datetime(2026, 11, 28, 16, 0, 5, tzinfo=UTC)
    for number, payload in enumerate(('{"ts": 1795881600000, "temp": %d}', '{"ts": "x%d"}', "{%d") * 4):
        text = payload % number
        yield Message(f"plant/dev-{number % 2}/data", text.encode(), received.replace(minute=number))
    yield Message("plant/dev-0/data", b'{"ts": 1795881600000, "temp": 1, "hum": 2}', received)


def test_dead_letters_with_the_same_difference_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_letters", _dead_letters)
    renamed = PLANT.replace("path: temp", "path: temp, name: t").replace("path: hum", "path: hum, name: h")
    (tmp_path / "new.yaml").write_text(renamed)
    assert lines_of(mapping("diff", "plant.yaml", "new.yaml", "--dlq"), 1) == [
        "4 messages, such as plant/dev-0/data  2026-11-28T16:00:05Z",
        "  -  acme/north/dev-0  temp  0 °C  2026-11-28T16:00:00Z",
        "  +  acme/north/dev-0  t     0 °C  2026-11-28T16:00:00Z",
        "",
        "plant/dev-0/data  2026-11-28T16:00:05Z",
        "  -  acme/north/dev-0  temp  1 °C  2026-11-28T16:00:00Z",
        "  -  acme/north/dev-0  hum   2  2026-11-28T16:00:00Z",
        "  +  acme/north/dev-0  t     1 °C  2026-11-28T16:00:00Z",
        "  +  acme/north/dev-0  h     2  2026-11-28T16:00:00Z",
        "",
        "13 messages, 5 with a difference; rows: 6 added, 6 removed,",
        "0 different",
    ]
    assert len(json_of(mapping("diff", "plant.yaml", "new.yaml", "--dlq", "--json"), 1)) == 5 + 1


def test_more_differences_than_are_kept_are_shown_at_once() -> None:
    messages = [Message(str(number), b"", datetime.now(UTC), False) for number in range(3)]
    found = [Difference(each, ("stored", "bug"), (None, str(each.topic)), ()) for each in messages]
    alike = Alike(most=2)
    assert [alike.add(each) for each in (*found, *found)] == [True, True, False, True, True, False]
    assert [(each.message.topic, count) for each, count in alike] == [("0", 2), ("1", 2)]
