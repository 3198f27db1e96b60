"""What `make test` tries of many similar cases, and `make test-all` in full."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

IS_FULL = os.environ.get("TRAKSENSE_TEST_BUDGET") == "full"
FEWEST = 25


def examples(count: int) -> int:
    """How many examples a property is tried with: `count` in full, else a tenth of it, and 25 at least."""
    return count if IS_FULL else min(count, max(FEWEST, count // 10))


def few_of(values: Iterable[Any], count: int) -> list[Any]:
    """Parameters of a test (tuples, if there are several names): all but the first `count` are long."""
    return [
        pytest.param(*_arguments_of(value), marks=pytest.mark.long if index >= count else ())
        for index, value in enumerate(values)
    ]


def _arguments_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
