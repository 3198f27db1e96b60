"""The outcomes of the checks, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Figures = Mapping[str, object]  # JSON values; seconds, points/s and counts


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: whether it passed, a line about it, and the figures in that line."""

    passed: bool
    detail: str
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finding, with the check that it belongs to."""

    number: int
    name: str
    finding: Finding

    def line(self) -> str:
        """`CHECK 2: Persistence            [OK] 120 rows inserted and read back`"""
        verdict = "OK" if self.finding.passed else "FAIL"
        return f"CHECK {self.number}: {self.name:<23}[{verdict}] {self.finding.detail}"


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of a run; `left_behind` says what may be left of its tenant and the SQL that removes it."""

    tenant: str
    outcomes: Sequence[Outcome]
    left_behind: str | None = None

    @property
    def passed(self) -> bool:
        return all(outcome.finding.passed for outcome in self.outcomes)

    def verdict(self) -> str:
        """The last line."""
        failed = sum(not outcome.finding.passed for outcome in self.outcomes)
        return f"{failed} OF {len(self.outcomes)} CHECKS FAILED" if failed else "ALL CHECKS PASSED"

    def as_json(self) -> str:
        """One object: passed, tenant, left_behind, and checks with number, name, passed, detail and figures."""
        checks = [
            {
                "number": outcome.number,
                "name": outcome.name,
                "passed": outcome.finding.passed,
                "detail": outcome.finding.detail,
                "figures": dict(outcome.finding.figures),
            }
            for outcome in self.outcomes
        ]
        return json.dumps(
            {"passed": self.passed, "tenant": self.tenant, "checks": checks, "left_behind": self.left_behind},
            ensure_ascii=False,
        )
