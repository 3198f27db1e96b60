"""bench.footprint measures what docs/operations.md reckons with."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.footprint import POINTS, measure, messages
from tests.support.services import Services


@pytest.mark.long
async def test_it_measures_each_part_of_the_way(services: Services, tmp_path: Path) -> None:
    found = await measure(services, tmp_path, 2_000)
    assert found.payload < found.entry < 2 * found.payload
    assert found.payload < found.usage < 2 * found.payload
    assert found.payload < found.file < 2 * found.payload
    assert 0 < found.settled < found.file
    assert 0 < found.index < found.row < found.payload
    assert found.wal > found.row / 2


def test_its_messages_have_ten_points() -> None:
    message = next(messages())
    assert message.payload.count(b'"name":') == POINTS
