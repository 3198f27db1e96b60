"""The console's devices without servers: values as text, and the line of a sparkline."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from traksense_ingest.ops.console.pages.devices import _shown, joined
from traksense_ingest.ops.devices.one import Point


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (21.5, "21.5"),
        (-0.1 - 0.2, "-0.3"),
        (0.000123456789, "0.000123457"),
        (1234567.0, "1234567"),
        (-98765432.1, "-98765432"),
        (1e20, "1e+20"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, "true"),
        (False, "false"),
        ("RUN", "RUN"),
        (None, "–"),
    ],
)
def test_a_value_has_six_digits_and_all_that_are_before_the_point(value: float | bool | str | None, text: str) -> None:
    assert _shown(Point("p", datetime(2026, 1, 1, tzinfo=UTC), value, None, None)) == text


def test_a_short_gap_is_closed_and_a_long_one_is_not() -> None:
    nan = float("nan")
    assert joined([None, 1.0, None, nan, None, 2.0, None], 2) == [None, 1.0, 1.0, 1.0, None, 2.0, 2.0]
