"""The short form of `make chaos`: a choice of faults, each once, in an order that a printed seed repeats.

Meant to stay below two minutes; how long it took is the last but one line that it prints.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from tests.chaos.faults import short_form
from tests.chaos.report import report
from tests.chaos.run import run
from tests.chaos.setup import set_up
from tests.support.services import Services

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


async def test_nothing_is_lost_and_nothing_is_twice(services: Services, tmp_path: Path) -> None:
    seed = Random().randrange(1_000_000)
    random = Random(seed)
    setup = set_up(services, random)
    print(f"seed {seed}; {setup.head}; again: python -m tests.chaos --short --services {services.name} --seed {seed}")
    outcome = await run(setup, tmp_path, random, short_form, print)
    Console(width=120).print(report(outcome))
    assert outcome.is_good
