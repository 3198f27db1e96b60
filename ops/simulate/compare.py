"""The queries that compare what was published with what is in the database."""

# ruff: noqa: S608  (they are printed for a person, who runs them)

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ops.simulate.tally import Tally

TIME_COLUMN = {"ts_measure": "ts", "cmd_ack": "ts_exec", "device_event": "ts"}


def rows_query(tally: Tally, tenants: Sequence[str], started: datetime) -> str:
    """One row for each table: what is stored, what to expect. `started` is this host's clock."""
    return "\nUNION ALL ".join(_count(table, tally, tenants, started) for table in tally.rows()) + ";"


def reasons_query(tenants: Sequence[str], started: datetime) -> str:
    """The dead letters of the run by class of reason."""
    return (
        f"SELECT error_class, count(*) FROM ingest_errors\n WHERE {_of(tenants)}"
        f" AND ts >= {_literal(started.isoformat())} GROUP BY error_class ORDER BY error_class;"
    )


def _count(table: str, tally: Tally, tenants: Sequence[str], started: datetime) -> str:
    return (
        f"SELECT '{table}' AS stored_in, count(*) AS stored, {tally.rows()[table]} AS expected FROM {table}\n"
        f" WHERE {_of(tenants)} AND {_when(table, tally, started)}"
    )


def _when(table: str, tally: Tally, started: datetime) -> str:
    if table not in TIME_COLUMN:
        return f"ts >= {_literal(started.isoformat())}"
    if tally.first is None or tally.last is None:
        return "false"  # no good message was published
    return f"{TIME_COLUMN[table]} BETWEEN {_literal(tally.first.isoformat())} AND {_literal(tally.last.isoformat())}"


def _of(tenants: Sequence[str]) -> str:
    if len(tenants) == 1:
        return f"tenant_id = {_literal(tenants[0])}"
    return f"tenant_id IN ({', '.join(map(_literal, tenants))})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
