"""No message gets more expensive unnoticed: what is executed and allocated for one is compared with figures in a file.
Time is not compared, because it is never the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import hot_paths
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes

TOLERANCE = 0.05
RENEW = "python -m tests.support.hot_paths updates them"


def increases(figures: Mapping[str, float], than: Mapping[str, float]) -> list[str]:
    """What is more than it was, beyond the tolerance."""
    return [
        f"{name}: {value:.0f} a message, were {than[name]:.0f}"
        for name, value in figures.items()
        if value > than[name] * (1 + TOLERANCE)
    ]


@pytest.fixture(scope="module")
def stored() -> dict[str, dict[str, float]]:
    if (figures := hot_paths.stored()) is None:
        pytest.skip(f"no figures for Python {hot_paths.PYTHON}: {RENEW}")
    return figures


def test_every_path_has_figures(stored: dict[str, dict[str, float]]) -> None:
    assert set(stored) == set(hot_paths.PATHS)


def test_every_path_does_what_it_is_measured_for() -> None:
    results = {name: path() for name, path in hot_paths.PATHS.items()}
    assert results["receive, MQTT 3.1.1"] == results["receive, MQTT 5"] == hot_paths.MESSAGES
    assert results["choose the shard"] == hot_paths.MESSAGES
    assert len(results["parse an entry"]) == hot_paths.MESSAGES
    assert sum(len(rows) for outcome in results["decode"] for rows in outcome.rows) == hot_paths.SHAPE.rows
    assert results["store"] == hot_paths.SHAPE.rows


@pytest.mark.parametrize("path", hot_paths.PATHS)
def test_a_message_costs_no_more_than_it_did(path: str, stored: dict[str, dict[str, float]]) -> None:
    worse = increases(hot_paths.measured(hot_paths.PATHS[path]), stored[path])
    changed = {
        name: f"{then} → {now}"
        for name, now in hot_paths.libraries().items()
        if (then := hot_paths.libraries_then().get(name)) != now
    }
    assert not worse, f"if that is what it is worth, {RENEW}; libraries that changed since: {changed or 'none'}"


@pytest.mark.parametrize("path", hot_paths.PATHS)
def test_doing_a_tenth_of_it_twice_is_noticed(path: str, stored: dict[str, dict[str, float]]) -> None:
    once = hot_paths.measured(hot_paths.PATHS[path])
    assert not increases(once, once)
    assert increases({name: value * 1.1 for name, value in once.items()}, stored[path])


def test_decoding_twice_is_noticed(monkeypatch: pytest.MonkeyPatch, stored: dict[str, dict[str, float]]) -> None:
    decode = MappedRoutes.decode

    def twice(self: Any, entry: Any) -> Any:
        decode(self, entry)
        return decode(self, entry)

    monkeypatch.setattr(MappedRoutes, "decode", twice)
    assert [worse.partition(":")[0] for worse in increases(hot_paths.measured(hot_paths.decode), stored["decode"])] == [
        "instructions",
        "calls",
    ]


def test_keeping_more_of_a_message_is_noticed(stored: dict[str, dict[str, float]]) -> None:
    def keeps_more() -> object:
        return [(entry, dict(enumerate(entry))) for entry in hot_paths.parse()]

    assert any(
        worse.startswith("peak_bytes") for worse in increases(hot_paths.measured(keeps_more), stored["parse an entry"])
    )
