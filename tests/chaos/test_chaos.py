"""The short forms of `make chaos`: a choice of faults, each once, in an order that a printed seed repeats.

Meant to stay below two minutes; how long it took is the last but one line that it prints.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from tests.chaos.faults import Choose, short_form, short_form_of_nodes
from tests.chaos.report import report
from tests.chaos.run import run
from tests.chaos.setup import set_up
from tests.support.services import DEBIAN, Services

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


async def test_nothing_is_lost_and_nothing_is_twice(services: Services, tmp_path: Path) -> None:
    await is_survived(services, tmp_path, "server", short_form)


@pytest.mark.parametrize("layout", ["cluster", "sentinel"])
async def test_nothing_is_lost_by_several_nodes_of_redis(services: Services, tmp_path: Path, layout: str) -> None:
    if (layout == "sentinel") != (services is DEBIAN):
        pytest.skip("each layout on one kind of servers")
    await is_survived(services, tmp_path, layout, short_form_of_nodes)


async def is_survived(services: Services, directory: Path, layout: str, choose: Choose) -> None:
    seed = Random().randrange(1_000_000)
    random = Random(seed)
    setup = set_up(services, random, layout=layout)
    options = f"--short --services {services.name} --seed {seed}" + f" --{layout}" * (layout != "server")
    print(f"seed {seed}; {setup.head}; again: python -m tests.chaos {options}")
    outcome = await run(setup, directory, random, choose, print)
    Console(width=120).print(report(outcome))
    assert outcome.is_good
