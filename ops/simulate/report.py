"""What a run did: as tables for a person, or as one JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.simulate.compare import reasons_query, rows_query
from ops.simulate.fleet import Plan
from ops.simulate.tally import Tally


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
            rows_query(self.tally, self.plan.tenants, self.started),
            reasons_query(self.plan.tenants, self.started),
        ]

    def as_json(self) -> str:
        """One JSON object; times are RFC 3339, `seconds` is in s and `rate` in messages/s."""
        return json.dumps(self._facts(), ensure_ascii=False)

    def _facts(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "tenants": list(self.plan.tenants),
            "seed": self.plan.seed,
            "started": self.started.isoformat(),
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "published": tally.published,
            "messages": {kind: tally.kinds[kind] for kind in ("telem", "ack", "event")},
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
            "refused": dict(tally.refused),
            "sql": self.queries,
        }

    def show(self, console: Console) -> None:
        """Print tables, what to beware of, and the queries."""
        tenants = self.plan.tenants
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
        for kind in ("telem", "ack", "event"):
            table.add_row(kind, str(self.tally.kinds[kind]))
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
        told = {
            f"{tally.sent_again} sent again after a lost connection; a bad one may be in ingest_errors twice": (
                tally.sent_again
            ),
            f"{tally.unconfirmed} sent without a PUBACK in the end: stored or not": tally.unconfirmed,
            f"{tally.refused.total()} refused by the broker: {', '.join(tally.refused)}": tally.refused.total(),
        }
        return [line for line, number in told.items() if number]


def _table(what: str, number: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(what)
    table.add_column(number, justify="right")
    return table
