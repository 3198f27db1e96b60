"""Two commits, measured in turn in one run: how fast a machine is changes from hour to hour, a ratio hardly does.

The other commit gets a worktree and an environment of its own, with its versions of everything, and measures itself by
its own benchmark. What isn't committed here is measured, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table

from bench.results import this_machine
from bench.scenarios import SCENARIOS
from bench.servers import KINDS
from bench.table import number

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 20  # of what a command printed that failed

Key = tuple[str, str, str]  # scenario, name, unit
Values = dict[Key, float]


@dataclass(frozen=True)
class Side:
    """A commit that is checked out, and the Python that has what it needs."""

    directory: Path
    python: Path

    def measure(self, arguments: Sequence[str], path: Path) -> Values:
        """One round of its benchmark; raises ClickException."""
        _run([self.python, "-m", "bench", *arguments, "--rounds", "1", "--json", path], self.directory)
        figures = json.loads(path.read_text())["figures"]
        return {(figure["scenario"], figure["name"], figure["unit"]): figure["median"] for figure in figures}


@dataclass(frozen=True)
class Compared:
    """One figure of both commits, a value for each round."""

    key: Key
    before: Sequence[float]
    after: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Of what was measured one after the other; none where that was 0 before."""
        return [after / before for before, after in zip(self.before, self.after, strict=True) if before]


@click.command()
@click.argument("revision")
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[SCENARIO …]")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often both are measured.")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Of all sizes."
)
@click.option("--services", type=click.Choice(list(KINDS)), default="embedded", show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all values there.")
def main(
    revision: str, names: tuple[str, ...], rounds: int, scale: float, services: str, json_path: Path | None
) -> None:
    """Compare this checkout with another commit: end-to-end and writer, if no scenario is named.

    Each round measures both, one after the other. The ratio is that of this checkout to REVISION.
    """
    stderr = Console(stderr=True, highlight=False)
    scenarios = names or ("end-to-end", "writer")
    arguments = [*scenarios, "--scale", str(scale), "--services", services]
    with tempfile.TemporaryDirectory(prefix="traksense-compare-") as name, _checkout(revision, Path(name)) as other:
        found = _measured(other, Side(ROOT, Path(sys.executable)), arguments, rounds, Path(name), stderr.print)
    Console(highlight=False, width=max(110, Console().width)).print(report(found, revision, rounds))
    if json_path:
        json_path.write_text(to_json(found))


def _measured(
    other: Side, this: Side, arguments: Sequence[str], rounds: int, directory: Path, log: Callable[[str], None]
) -> list[Compared]:
    before: list[Values] = []
    after: list[Values] = []
    for index in range(rounds):
        turns = [(other, before), (this, after)]
        for side, values in turns if index % 2 == 0 else reversed(turns):  # neither is always the first
            log(f"round {index + 1} of {rounds}: {'this checkout' if side is this else 'the other commit'} …")
            values.append(side.measure(arguments, directory / "figures.json"))
    return compare(before, after)


def compare(before: Sequence[Values], after: Sequence[Values]) -> list[Compared]:
    """The figures that both have in every round."""
    rounds = [*before, *after]
    keys = [key for key in before[0] if all(key in values for values in rounds)]
    return [Compared(key, [values[key] for values in before], [values[key] for values in after]) for key in keys]


def report(found: Sequence[Compared], revision: str, rounds: int) -> RenderableType:
    """A table, and below it what it was measured on."""
    table = Table()
    table.add_column("figure", no_wrap=True)
    for heading in (revision, "this checkout", "ratio", "min – max"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for compared in found:
        scenario, name, unit = compared.key
        ratios = compared.ratios or [float("nan")]
        medians = number(median(compared.before)), number(median(compared.after))
        extremes = f"{number(min(ratios))} – {number(max(ratios))}"
        table.add_row(f"{scenario}: {name}", *medians, number(median(ratios)), extremes, unit)
    return Group(table, str(this_machine()), f"medians of {rounds} rounds, and of the ratio of each round")


def to_json(found: Sequence[Compared]) -> str:
    """All values."""
    figures = [
        {"scenario": scenario, "name": name, "unit": unit, "before": compared.before, "after": compared.after}
        for compared in found
        for scenario, name, unit in [compared.key]
    ]
    return json.dumps(figures, ensure_ascii=False, indent=2) + "\n"


@contextmanager
def _checkout(revision: str, directory: Path) -> Iterator[Side]:
    """A worktree of the commit for as long as the block; raises ClickException."""
    worktree = directory / "worktree"
    _run(["git", "worktree", "add", "--quiet", "--detach", worktree, revision], ROOT)
    try:
        yield _installed(worktree)
    finally:
        _run(["git", "worktree", "remove", "--force", worktree], ROOT)


def _installed(worktree: Path) -> Side:
    _run([sys.executable, "-m", "venv", ".venv"], worktree)
    side = Side(worktree, worktree / ".venv" / "bin" / "python")
    versions = ["--constraint", "constraints.txt"] if (worktree / "constraints.txt").exists() else []
    _run([side.python, "-m", "pip", "install", "--quiet", *versions, "--editable", ".[embedded]"], worktree)
    return side


def _run(command: Sequence[str | Path], directory: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise click.ClickException(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{last}")
