"""Names in a sentence."""

from __future__ import annotations

import pytest

from traksense_ingest.shared.listing import listed


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (9, "0, 1, 2 and 6 more")]
)
def test_the_first_ones_and_how_many_more(count: int, text: str) -> None:
    assert listed(range(count), most=3) == text
