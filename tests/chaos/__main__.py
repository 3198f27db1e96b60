"""The command."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import click
from rich.console import Console

from tests.chaos.faults import Fault
from tests.chaos.report import report
from tests.chaos.run import run
from tests.support.services import DEBIAN, EMBEDDED, missing


@click.command()
@click.option("--seed", type=int, default=None, help="Repeat the run that printed it.")
@click.option("--times", type=click.IntRange(min=1), default=2, show_default=True, help="How often each fault comes.")
@click.option("--only", default="", help="Only faults whose name has this text in it.")
@click.option("--rate", type=click.FloatRange(min=1), default=300, show_default=True, help="Messages/s.")
@click.option("--services", type=click.Choice(["auto", "embedded", "debian"]), default="auto", show_default=True)
def main(seed: int | None, times: int, only: str, rate: float, services: str) -> None:
    """Break everything that can break, under load, and compare what devices were told with the tables.

    Uses Mosquitto, Redis and PostgreSQL of this machine where they are installed, and the embedded servers otherwise:
    then the broker, which keeps its sessions in memory, is the one thing that isn't killed.
    """
    console = Console(highlight=False, width=max(110, Console().width))
    seed = Random().randrange(1_000_000) if seed is None else seed
    random = Random(seed)
    chosen = EMBEDDED if services == "embedded" or (services == "auto" and missing(DEBIAN)) else DEBIAN
    console.print(f"seed {seed}; {chosen.name} servers; {rate:g} messages/s; two receivers, two writers")

    def choose(faults: Sequence[Fault]) -> Sequence[Fault]:
        every = [fault for fault in faults if only in fault.name] * times
        random.shuffle(every)
        return every

    with tempfile.TemporaryDirectory(prefix="traksense-chaos-") as directory:
        outcome = asyncio.run(run(chosen, Path(directory), random, choose, rate, console.print))
    console.print(report(outcome))
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
