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

from tests.chaos.faults import Fault, every, short_form
from tests.chaos.report import report
from tests.chaos.run import run
from tests.chaos.setup import FSYNCS, RATE, set_up
from tests.support.services import DEBIAN, EMBEDDED, missing


@click.command()
@click.option("--seed", type=int, default=None, help="Repeat the run that printed it.")
@click.option("--times", type=click.IntRange(min=1), default=2, show_default=True, help="How often each fault comes.")
@click.option("--short", is_flag=True, help="A dozen of the faults, once: what the tests do.")
@click.option("--only", default="", help="Only faults whose name has this text in it.")
@click.option("--rate", type=click.FloatRange(min=1), default=RATE, show_default=True, help="Messages/s.")
@click.option("--services", type=click.Choice(["auto", "embedded", "debian"]), default="auto", show_default=True)
@click.option(
    "--fsync", type=click.Choice(FSYNCS), default=None, help="When Redis syncs; as the seed has it by default."
)
@click.option("--shared/--not-shared", default=True, help="Receivers form a group, or have a tenant each.")
def main(
    seed: int | None,
    times: int,
    short: bool,
    only: str,
    rate: float,
    services: str,
    fsync: str | None,
    shared: bool,
) -> None:
    """Break everything that can break, under load, and compare what devices were told with the tables.

    Uses Mosquitto, Redis and PostgreSQL of this machine where they are installed, and the embedded servers otherwise:
    then the broker, which keeps its sessions in memory, is the one thing that isn't killed, and receivers don't share.
    With appendfsync everysec Redis is the embedded Valkey, which has WAITAOF.
    """
    console = Console(highlight=False, width=max(120, Console().width))
    seed = Random().randrange(1_000_000) if seed is None else seed
    random = Random(seed)
    chosen = EMBEDDED if services == "embedded" or (services == "auto" and missing(DEBIAN)) else DEBIAN
    setup = set_up(chosen, random, fsync=fsync, shared=shared, rate=rate)
    console.print(f"seed {seed}; {setup.head}")

    def choose(faults: Sequence[Fault], random: Random) -> Sequence[Fault]:
        meant = [fault for fault in faults if only in fault.name]
        return short_form(meant, random) if short else every(meant, random, times)

    with tempfile.TemporaryDirectory(prefix="traksense-chaos-") as directory:
        outcome = asyncio.run(run(setup, Path(directory), random, choose, console.print))
    console.print(report(outcome))
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
