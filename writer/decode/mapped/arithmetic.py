"""`scale`, `divide` and `offset` of a point."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any

from traksense_ingest.writer.decode.arithmetic import coefficients, ratio_of
from traksense_ingest.writer.decode.mapped.scope import Wrong


def compile_arithmetic(scale: Decimal | None, divide: Decimal | None, offset: Decimal | None) -> Any:
    """From a number to value × scale ÷ divide + offset; others stay. None where there is nothing to do."""
    if scale is None and divide is None and offset is None:
        return None
    return _change(*coefficients(scale, divide, offset))


def _change(times: int, plus: int, below: int) -> Callable[[Any], Any]:
    """(value × times + plus) ÷ below: integers divide exactly, and are rounded once."""

    def change(value: Any) -> Any:
        kind = type(value)
        if kind is int:
            return _divided(value * times + plus, below)
        if kind is float:
            if not isfinite(value):
                return None  # no reading, as without arithmetic
            above, under = ratio_of(value)
            return _divided(above * times + plus * under, below * under)
        return value

    return change


def _divided(above: int, below: int) -> float:
    try:
        return above / below
    except OverflowError:
        raise Wrong("Input should be a finite number") from None
