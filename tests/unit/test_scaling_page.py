"""docs/scaling.md: what a rate needs follows from what a point costs, and masters have as many shards as it says."""

from __future__ import annotations

import math
import re

import pytest
from redis.crc import key_slot

from tests.support.handbook import DOCS
from traksense_ingest.ops.embedded.redis_cluster import SLOTS
from traksense_ingest.shared.streams.keys import key_of

PAGE = (DOCS / "scaling.md").read_text()
RATES = (10_000, 1_000_000, 100_000_000)  # points/s
UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}
LEFT = 0.5  # of each part, for peaks
MICRO = 1e-6


def row(name: str) -> list[str]:
    """The cells after the first one."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def numbers(cell: str) -> list[float]:
    return [float(found.replace(" ", "")) for found in re.findall(r"\d+(?: \d{3})*(?:\.\d+)?", cell)]


def rounded_up(number: float) -> float:
    """To two digits."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1) if number >= 1 else 1
    return math.ceil(round(number / step, 6)) * step


@pytest.mark.parametrize(
    ("part", "needs"),
    [
        ("receiver", "receivers"),
        ("Redis, all nodes together", "Redis's masters"),
        ("writer", "writers"),
        ("PostgreSQL", "PostgreSQL's cores"),
    ],
)
def test_cores_follow_from_the_cost_of_a_point(part: str, needs: str) -> None:
    costs = numbers(row(part)[0])
    least, most = costs[0], costs[2] if part == "PostgreSQL" else costs[0]
    for rate, cell in zip(RATES, row(needs), strict=True):
        shown = numbers(cell)
        assert [shown[0], shown[-1]] == [rounded_up(rate * cost * MICRO / LEFT) for cost in (least, most)], cell


def test_each_master_has_a_replica_if_wanted() -> None:
    pairs = zip(row("Redis's nodes, with a replica of each"), row("Redis's masters"), strict=True)
    assert all(numbers(nodes)[0] == 2 * numbers(masters)[0] for nodes, masters in pairs)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("write-ahead log", 247),
        ("append-only files", 98),
        ("rows a day, uncompressed", 226 * 86_400),
        ("… in the columnstore, 30 times smaller", 226 * 86_400 / 30),
    ],
)
def test_bytes_follow_from_the_bytes_of_a_point(name: str, factor: float) -> None:
    for rate, cell in zip(RATES, row(name), strict=True):
        number, unit = cell.removesuffix("/s").rsplit(" ", 1)
        assert numbers(number)[0] * UNITS[unit] == pytest.approx(rate * factor, rel=0.03), cell


@pytest.mark.parametrize(("masters", "shards", "most"), [(4, 12, 3), (3, 9, 4)])
def test_the_busiest_master_has_as_many_shards(masters: int, shards: int, most: int) -> None:
    slots = [key_slot(key_of(shard).encode()) for shard in range(shards)]
    assert max(sum(slot * masters // SLOTS == master for slot in slots) for master in range(masters)) == most
    assert f"{shards} shards" in PAGE
