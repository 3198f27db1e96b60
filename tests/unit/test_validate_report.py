"""What people and machines read of a run."""

from __future__ import annotations

import json

from traksense_ingest.ops.validate.report import Finding, Outcome, Report

STORED = Outcome(2, "Persistence", Finding(True, "120 rows inserted and read back", {"rows": 120}))
SLOW = Outcome(4, "Throughput", Finding(False, "10000 points in 4.00 s ≈ 2500 points/s (target ≥ 5000)"))


def test_lines_are_aligned() -> None:
    assert STORED.line() == "CHECK 2: Persistence            [OK] 120 rows inserted and read back"
    assert SLOW.line().startswith("CHECK 4: Throughput             [FAIL] 10000 points in 4.00 s")


def test_the_verdict_counts_failures() -> None:
    assert Report("t", [STORED, STORED]).verdict() == "ALL CHECKS PASSED"
    assert Report("t", [STORED, SLOW]).verdict() == "1 OF 2 CHECKS FAILED"
    assert not Report("t", [STORED, SLOW]).passed


def test_json_is_one_object_with_every_figure() -> None:
    assert json.loads(Report("validate-1", [STORED], "DELETE …").as_json()) == {
        "passed": True,
        "tenant": "validate-1",
        "checks": [
            {
                "number": 2,
                "name": "Persistence",
                "passed": True,
                "detail": "120 rows inserted and read back",
                "figures": {"rows": 120},
            }
        ],
        "left_behind": "DELETE …",
    }
