"""The short form of `make chaos`: a choice of faults, each once, in an order that a printed seed repeats."""

from __future__ import annotations

from pathlib import Path
from random import Random

from rich.console import Console

from tests.chaos.faults import short_form
from tests.chaos.report import report
from tests.chaos.run import run
from tests.support.services import DEBIAN, Services


async def test_nothing_is_lost_and_nothing_is_twice(services: Services, tmp_path: Path) -> None:
    seed = Random().randrange(1_000_000)
    random = Random(seed)
    print(f"seed {seed}; to repeat it: python -m tests.chaos --short --services {services.name} --seed {seed}")
    outcome = await run(services, tmp_path, random, short_form, 200, print, shared=services is DEBIAN)
    Console(width=110).print(report(outcome))
    assert outcome.is_good
