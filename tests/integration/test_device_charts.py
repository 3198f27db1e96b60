"""The chart of a point's last day: from the rows, or from an aggregate where there is one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from traksense_ingest.ops.devices.one import STEPS, Points, read_device
from traksense_ingest.ops.devices.table import open_view
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

pytestmark = pytest.mark.long  # of `make test-all`

ROWS = """
WITH device AS (
    INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen) VALUES ('t', 'd', 's', now(), now())
), points AS (
    INSERT INTO device_point SELECT 't', 'd', point, NULL, now() FROM unnest('{number,switch,text}'::text[]) AS point
)
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text)
SELECT 't', 'd', 'number', ts, step, NULL::boolean, NULL FROM (
    SELECT to_timestamp((floor(extract(epoch FROM now()) / 900) - step) * 900) AS ts, step
    FROM generate_series(0, 200) AS step
) AS steps
UNION ALL SELECT 't', 'd', 'switch', now(), NULL, true, NULL
UNION ALL SELECT 't', 'd', 'text', now(), NULL, NULL, 'RUN'
"""
DAYS = [[float(step) for step in reversed(range(STEPS))], [None] * (STEPS - 1) + [1.0], None]  # number, switch, text


async def days(url: str) -> list[Sequence[float | None] | None]:
    """Of the points of ROWS, by name. In the transaction that stores them, so that `now` is the same."""
    async with open_view(url) as connection, connection.transaction():
        await connection.execute(ROWS)
        found = await read_device(connection, "t", "d", None)
    assert found is not None
    assert isinstance(found.points, Points)
    assert found.points.without_charts is None
    return [point.day for point in found.points.shown]


async def test_it_has_the_last_value_of_each_step(database: str) -> None:
    assert await days(database) == DAYS


@pytest.mark.timescaledb
async def test_an_aggregate_says_the_same(timescale: str) -> None:
    await shape(timescale, DesiredPolicies(aggregates=("1m", "5m")))
    assert await days(timescale) == DAYS
