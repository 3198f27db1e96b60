"""What a run did: counted as PUBACKs arrive, then shown as tables or as JSON, with queries that compare it with the
database."""

# ruff: noqa: S608  (the queries are printed for a person, who runs them)

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from traksense_ingest.ops.simulate.fleet import Plan
from traksense_ingest.ops.simulate.messages import Message

TIME_COLUMN = {"ts_measure": "ts", "command": "sent_at", "cmd_ack": "ts_exec", "device_event": "ts"}
KINDS = ("telem", "cmd", "ack", "event")


@dataclass
class Tally:
    """Counts messages as they are acknowledged; takes a few bytes for each device, however long the run."""

    kinds: Counter[str] = field(default_factory=Counter)  # good messages
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what is wrong, class of reason)
    refused: Counter[str] = field(default_factory=Counter)  # reason of the broker (MQTT 5)
    points: int = 0
    acknowledged: int = 0  # distinct cmd_ids of ACKs
    states: int = 0  # published; not counted as messages
    last_wills: int = 0  # that the broker may have published, when a connection was lost
    sent_again: int = 0  # after a loss of the connection; the broker may have had them already
    unconfirmed: int = 0  # sent, and no PUBACK at the end: they may have arrived
    first: datetime | None = None
    last: datetime | None = None
    _last_command: dict[int, str] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """Count a message that was published."""
        if message.fault is not None:
            self.faults[message.fault, message.error_class or ""] += 1
            return
        self.first = min(self.first or message.ts, message.ts)
        self.last = max(self.last or message.ts, message.ts)
        if message.kind == "state":
            self.states += 1
            return
        self.kinds[message.kind] += 1
        # A device's timestamps are distinct, and so are a message's names: each point is a row.
        self.points += message.points
        if message.kind == "ack" and message.cmd_id is not None:
            self._add_ack(message.device, message.cmd_id)

    def _add_ack(self, device: int, cmd_id: str) -> None:
        # A device repeats only its latest command, so one id for each device is enough to know what is new.
        if self._last_command.get(device) != cmd_id:
            self.acknowledged += 1
        self._last_command[device] = cmd_id

    @property
    def good(self) -> int:
        """Good messages, states not counted."""
        return self.kinds.total()

    @property
    def bad(self) -> int:
        """Bad messages."""
        return self.faults.total()

    @property
    def published(self) -> int:
        """All messages."""
        return self.good + self.bad

    @property
    def events(self) -> int:
        """Distinct events: no device reports one twice."""
        return self.kinds["event"]

    def by_class(self) -> Counter[str]:
        """Bad messages by the class of reason that the writer gives."""
        classes: Counter[str] = Counter()
        for (_, error_class), number in self.faults.items():
            classes[error_class] += number
        return classes

    def rows(self) -> dict[str, int]:
        """Rows to expect in each table."""
        return {
            "ts_measure": self.points,
            "command": self.kinds["cmd"],
            "cmd_ack": self.acknowledged,
            "device_event": self.events + self.states,
            "ingest_errors": self.bad,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A run that ended; `started` is when its first message could be sent, `seconds` how long it took."""

    plan: Plan
    tally: Tally
    started: datetime
    seconds: float

    @property
    def rate(self) -> float:
        """Messages/s that were published."""
        return self.tally.published / self.seconds if self.seconds else 0.0

    @property
    def queries(self) -> list[str]:
        """SQL that shows what is stored next to what is expected."""
        return [
            rows_query(self.tally, self.plan.owners, self.started),
            reasons_query(self.plan.owners, self.started),
        ]

    def as_json(self) -> str:
        """One JSON object; times are RFC 3339, `seconds` is in s and `rate` in messages/s."""
        return json.dumps(self._facts(), ensure_ascii=False)

    def _facts(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "tenants": list(self.plan.owners),
            "seed": self.plan.seed,
            "started": self.started.isoformat(),
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "published": tally.published,
            "messages": {kind: tally.kinds[kind] for kind in KINDS},
            "states": tally.states,
            "bad": {
                "total": tally.bad,
                "faults": {name: number for (name, _), number in sorted(tally.faults.items())},
                "reasons": dict(tally.by_class()),
            },
            "expected_rows": tally.rows(),
            "first_ts": tally.first.isoformat() if tally.first else None,
            "last_ts": tally.last.isoformat() if tally.last else None,
            "sent_again": tally.sent_again,
            "unconfirmed": tally.unconfirmed,
            "last_wills": tally.last_wills,
            "refused": dict(tally.refused),
            "sql": self.queries,
        }

    def show(self, console: Console) -> None:
        """Print tables, caveats, and the queries."""
        tenants = self.plan.owners
        of = tenants[0] if len(tenants) == 1 else f"{tenants[0]} to {tenants[-1]}"
        console.print(
            f"{self.tally.published} messages of {self.plan.devices} devices of {of} in {self.seconds:.1f} s, "
            f"{self.rate:.0f}/s; seed {self.plan.seed}",
            markup=False,
        )
        console.print(self._published(), self._expected())
        for line in self._caveats():
            console.print(line, markup=False)
        console.print("-- what is stored, next to what to expect")
        for query in self.queries:
            console.print(query, markup=False, soft_wrap=True)

    def _published(self) -> Table:
        table = _table("published", "messages")
        for kind in KINDS:
            table.add_row(kind, str(self.tally.kinds[kind]))
        if self.plan.states:
            table.add_row("state (not one of the messages)", str(self.tally.states))
        for (name, error_class), number in sorted(self.tally.faults.items()):
            table.add_row(f"bad: {name} ({error_class})", str(number))
        return table

    def _expected(self) -> Table:
        table = _table("expected in", "rows")
        for name, rows in self.tally.rows().items():
            table.add_row(name, str(rows))
        return table

    def _caveats(self) -> list[str]:
        tally = self.tally
        caveats = {
            f"{tally.sent_again} sent again after a lost connection; a bad one may be in ingest_errors twice": (
                tally.sent_again
            ),
            f"{tally.unconfirmed} sent without a PUBACK in the end: they may be stored": tally.unconfirmed,
            f"{tally.last_wills} connections lost: their last wills may be more rows in device_event": tally.last_wills,
            f"{tally.refused.total()} refused by the broker: {', '.join(tally.refused)}": tally.refused.total(),
        }
        return [line for line, number in caveats.items() if number]


def rows_query(tally: Tally, tenants: Sequence[str], started: datetime) -> str:
    """One row for each table: what is stored, what to expect. `started` is by this host's clock."""
    return "\nUNION ALL ".join(_count(table, tally, tenants, started) for table in tally.rows()) + ";"


def reasons_query(tenants: Sequence[str], started: datetime) -> str:
    """The dead letters of the run by class of reason."""
    return (
        f"SELECT error_class, count(*) FROM ingest_errors\n WHERE {_of(tenants)}"
        f" AND ts >= {_literal(started.isoformat())} GROUP BY error_class ORDER BY error_class;"
    )


def _table(what: str, number: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(what)
    table.add_column(number, justify="right")
    return table


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
