"""value × scale ÷ divide + summand: exact in decimal, and rounded once, to the nearest float.

A float counts as the shortest decimal that it is read from: -18.3 is -183 / 10, and 0.3 / 10 is 0.03.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import lcm

EXACT = 2**53  # below it each integer is a float


def coefficients(scale: Decimal | None, divide: Decimal | None, summand: Decimal | None) -> tuple[int, int, int]:
    """`times`, `plus` and `below`, with which (value × times + plus) ÷ below is the same: integers divide exactly."""
    factor = Fraction(scale if scale is not None else 1) / Fraction(divide if divide is not None else 1)
    constant = Fraction(summand if summand is not None else 0)
    below = lcm(factor.denominator, constant.denominator)
    return int(factor * below), int(constant * below), below


def ratio_of(value: float) -> tuple[int, int]:
    """A finite float as a fraction."""
    if value.is_integer() and -EXACT < value < EXACT:
        return int(value), 1
    return Decimal(repr(value)).as_integer_ratio()
