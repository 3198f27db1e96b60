"""What is decided before the database is asked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from traksense_ingest.ops.schema.aggregates import ExistingAggregate, window
from traksense_ingest.ops.schema.apply import DesiredPolicies, unsupported_reason
from traksense_ingest.shared import config


def present(**given: object) -> ExistingAggregate:
    facts = {"name": "1m", "source": None, "is_refreshed": True, "start": None, "size": "1 MB"} | given
    return ExistingAggregate(**facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "retention", "is_new", "days"),
    [
        (present(), None, True, None),
        (present(), 30, True, 29),
        (present(), 2, True, 1),
        (present(), None, False, None),
        (present(), 30, False, 29),
        (present(start=timedelta(days=29)), None, False, 29),
        (present(start=timedelta(days=29)), 90, False, 29),
        (present(start=timedelta(days=29)), 7, False, 6),
        (present(is_refreshed=False), None, False, 1),
        (present(is_refreshed=False), 30, False, 1),
        (present(is_refreshed=False), 30, True, 29),
        (present(source="1m"), 30, False, None),
    ],
)
def test_a_window_never_outreaches_the_rows(
    one: ExistingAggregate, retention: int | None, is_new: bool, days: int | None
) -> None:
    expected = timedelta(days=days) if days else None
    assert window(one, retention, is_new=is_new) == expected


class Database:
    """Answers which TimescaleDB it has."""

    def __init__(self, version: str | None, license_: str = "timescale", is_hypertable: bool = True) -> None:
        self._row = {"version": version, "license": license_} if version else None
        self._is_hypertable = is_hypertable

    async def fetchrow(self, _query: str) -> object:
        return self._row

    async def fetchval(self, _query: str) -> bool:
        return self._is_hypertable


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        (Database(None), "this PostgreSQL has no timescaledb"),
        (Database("2.28.4", "apache"), "this timescaledb is its Apache edition"),
        (Database("2.17.2"), "timescaledb 2.17.2 is too old, 2.18 or newer is needed"),
        (
            Database("2.28.4", is_hypertable=False),
            "ts_measure was created as a plain table, before timescaledb was installed",
        ),
    ],
)
async def test_what_is_lacking_has_a_reason(database: Database, reason: str) -> None:
    assert (await unsupported_reason(database) or "").startswith(reason)


@pytest.mark.parametrize("version", ["2.18.0", "2.28.4", "2.30.0-dev", "3.0.0"])
async def test_nothing_is_lacking(version: str) -> None:
    assert await unsupported_reason(Database(version)) is None


def test_the_variables_are_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_RETENTION_DAYS", "30")
    monkeypatch.setenv("INGEST_DLQ_RETENTION_DAYS", "90")
    monkeypatch.setenv("INGEST_COMPRESS_AFTER_DAYS", "7")
    monkeypatch.setenv("INGEST_AGGREGATES", "1m, 1h")
    assert DesiredPolicies.from_settings(config.load()) == DesiredPolicies(30, 90, 7, ("1m", "1h"))
