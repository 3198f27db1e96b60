"""`scale`, `divide` and `offset`: exact in decimal, and rounded once, to the nearest float.

A float counts as the shortest decimal that it is read from: -18.3 is -183 / 10, and 0.3 / 10 is 0.03.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import isfinite, lcm
from typing import Any

from traksense_ingest.writer.decode.mapped.scope import Wrong

EXACT = 2**53  # below it each integer is a float


def compile_arithmetic(scale: Decimal | None, divide: Decimal | None, offset: Decimal | None) -> Any:
    """From a number to value × scale ÷ divide + offset; others stay. None where there is nothing to do."""
    if scale is None and divide is None and offset is None:
        return None
    factor = Fraction(scale if scale is not None else 1) / Fraction(divide if divide is not None else 1)
    constant = Fraction(offset if offset is not None else 0)
    below = lcm(factor.denominator, constant.denominator)
    return _change(int(factor * below), int(constant * below), below)


def _change(times: int, plus: int, below: int) -> Callable[[Any], Any]:
    """(value × times + plus) ÷ below: integers divide exactly, and are rounded once."""

    def change(value: Any) -> Any:
        kind = type(value)
        if kind is int:
            return _divided(value * times + plus, below)
        if kind is float:
            if not isfinite(value):
                return None  # no reading, as without arithmetic
            above, under = _as_ratio(value)
            return _divided(above * times + plus * under, below * under)
        return value

    return change


def _as_ratio(value: float) -> tuple[int, int]:
    if value.is_integer() and -EXACT < value < EXACT:
        return int(value), 1
    return Decimal(repr(value)).as_integer_ratio()


def _divided(above: int, below: int) -> float:
    try:
        return above / below
    except OverflowError:
        raise Wrong("Input should be a finite number") from None
