"""The command."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console

from bench import compare
from bench.chart import draw
from bench.run import run
from bench.scenario import Plan
from bench.scenarios import SCENARIOS
from bench.servers import KINDS, NotEmpty, Own
from bench.table import report
from traksense_ingest.ops.embedded.debian import missing
from traksense_ingest.shared.runtime.service import EXIT_MISCONFIGURED


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[SCENARIO …]")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often each is measured.")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Of all sizes."
)
@click.option("--services", type=click.Choice(list(KINDS)), default="embedded", show_default=True)
@click.option("--mqtt-url", help="A broker of your own, without TLS and without other publishers.")
@click.option("--redis-url", help="A Redis of your own that has no streams of the service.")
@click.option("--database-url", help="A PostgreSQL of your own: a database beside this one is made and dropped.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures there.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), help="Draw a PNG there.")
def main(
    names: tuple[str, ...],
    rounds: int,
    scale: float,
    services: str,
    mqtt_url: str | None,
    redis_url: str | None,
    database_url: str | None,
    json_path: Path | None,
    chart: Path | None,
) -> None:
    """Measure scenarios, all of them if none is named.

    end-to-end, receiver, writer, latency, latest, growth, shape, decode, scale-out, redis, database, console, peers.

    Each scenario starts servers of its own in a temporary directory. Exit code 0 also when a target is not met: a
    slow machine is no failure. `compare REVISION` measures another commit, too: see `compare --help`.
    """
    logging.basicConfig(level=logging.ERROR)  # a missing TimescaleDB is mentioned below the tables
    console = Console(highlight=False, width=max(110, Console().width))
    stderr = Console(stderr=True, highlight=False)
    if chart and find_spec("matplotlib") is None:
        raise click.UsageError("--chart needs matplotlib: pip install '.[bench]'")
    if absent := missing(KINDS[services]):
        raise click.UsageError(f"not installed here: {', '.join(absent)}")
    scenarios = [SCENARIOS[name] for name in names or SCENARIOS]
    own = Own(mqtt_url, redis_url, database_url)
    with tempfile.TemporaryDirectory(prefix="traksense-bench-", ignore_cleanup_errors=True) as directory:
        try:
            results = asyncio.run(
                run(scenarios, Plan(rounds, scale), KINDS[services], own, Path(directory), stderr.print)
            )
        except NotEmpty as error:
            stderr.print(f"REDIS_URL: {error}", style="red")
            sys.exit(EXIT_MISCONFIGURED)
    console.print(report(results))
    if json_path:
        json_path.write_text(results.to_json())
    if chart:
        draw(results, chart)


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        compare.main(sys.argv[2:], prog_name="python -m bench compare")
    else:
        main(prog_name="python -m bench")
