"""The command."""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import click
from rich.console import Console

from tests.chaos.fault import Fault
from tests.chaos.faults import every, short_form, short_form_of_nodes
from tests.chaos.report import markdown, report
from tests.chaos.run import run
from tests.chaos.setup import FSYNCS, RATE, set_up
from tests.support.services import DEBIAN, EMBEDDED, missing


@click.command()
@click.option("--seed", type=int, default=None, help="Repeat the run that printed it.")
@click.option("--times", type=click.IntRange(min=1), default=2, show_default=True, help="How often each fault.")
@click.option("--short", is_flag=True, help="A few of the faults, once: what the tests run.")
@click.option("--cluster", "layout", flag_value="cluster", help="Redis Cluster: 3 masters with a replica each.")
@click.option("--sentinel", "layout", flag_value="sentinel", help="A master and a replica of Redis, with 3 Sentinels.")
@click.option("--only", default="", help="Only faults with this text in their names.")
@click.option("--rate", type=click.FloatRange(min=1), default=RATE, show_default=True, help="Messages/s.")
@click.option("--services", type=click.Choice(["auto", "embedded", "debian"]), default="auto", show_default=True)
@click.option(
    "--fsync", type=click.Choice(FSYNCS), default=None, help="When Redis syncs; as the seed has it by default."
)
@click.option("--shared/--not-shared", default=True, help="Receivers form a group, or have a tenant each.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="chaos.md",
    show_default=True,
    help="Write the table there, as Markdown.",
)
def main(
    seed: int | None,
    times: int,
    short: bool,
    layout: str | None,
    only: str,
    rate: float,
    services: str,
    fsync: str | None,
    shared: bool,
    report_path: Path,
) -> None:
    """Break everything that can break, under load, and compare what was acknowledged to devices with the tables.

    Uses Mosquitto, Redis and PostgreSQL of this machine where they are installed, and the embedded servers otherwise:
    then the broker, which keeps its sessions in memory, is the one thing that isn't killed, and receivers don't share.
    With appendfsync everysec Redis is the embedded Valkey, which has WAITAOF.

    \b
    Examples:
      # a thousand times kill -9, with a table to publish
      make chaos ARGS="--only 'kill -9' --times 100"
      # over several nodes of Redis, with INGEST_REPLICAS=1, and PostgreSQL with a synchronous standby
      make chaos ARGS="--cluster"
      # the run that failed, again
      make chaos ARGS="--seed 7"
    """
    console = Console(highlight=False, width=max(120, Console().width))
    seed = Random().randrange(1_000_000) if seed is None else seed
    random = Random(seed)
    chosen = EMBEDDED if services == "embedded" or (services == "auto" and missing(DEBIAN)) else DEBIAN
    setup = set_up(chosen, random, fsync=fsync, shared=shared, rate=rate, layout=layout or "server")
    console.print(f"seed {seed}; {setup.head}")

    def choose(faults: Sequence[Fault], random: Random) -> Sequence[Fault]:
        selected = [fault for fault in faults if only in fault.name]
        if not short:
            return every(selected, random, times)
        return short_form_of_nodes(selected, random) if layout else short_form(selected, random)

    with tempfile.TemporaryDirectory(prefix="traksense-chaos-") as directory:
        outcome = asyncio.run(run(setup, Path(directory), random, choose, console.print))
    console.print(report(outcome))
    command = shlex.join(["python", "-m", "tests.chaos", *_with_seed(sys.argv[1:], seed)])
    report_path.write_text(markdown(outcome, command=command, head=setup.head))
    console.print(f"written to {report_path}")
    sys.exit(0 if outcome.is_good else 1)


def _with_seed(arguments: Sequence[str], seed: int) -> list[str]:
    """The arguments that repeat this run."""
    has_seed = any(argument.partition("=")[0] == "--seed" for argument in arguments)
    return list(arguments) if has_seed else [*arguments, "--seed", str(seed)]


if __name__ == "__main__":
    main()
