"""`bench compare`: two commits in turn, the ratios of their figures, and what is wrong in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import compare
from bench.compare import Compared, Side, report

RATE, COST = ("writer", "stored", "points/s"), ("writer", "CPU", "µs/point")

BENCH = """
import json, sys
path = sys.argv[sys.argv.index("--json") + 1]
print("as asked:", sys.argv[1:])
figure = {"scenario": "writer", "name": "stored", "unit": "points/s", "median": RATE}
open(path, "w").write(json.dumps({"figures": [figure]}))
"""


def test_a_ratio_is_that_of_each_round() -> None:
    before = [{RATE: 100.0, COST: 2.0}, {RATE: 200.0, COST: 2.0}]
    after = [{RATE: 150.0, ("writer", "new", "s"): 1.0}, {RATE: 260.0, COST: 1.0}]
    (found,) = compare.compare(before, after)
    assert found == Compared(RATE, [100.0, 200.0], [150.0, 260.0]), "a figure that one round lacks is left out"
    assert found.ratios == [1.5, 1.3]
    assert Compared(COST, [0.0, 2.0], [1.0, 1.0]).ratios == [0.5]


def test_the_table_has_medians_ratios_and_extremes() -> None:
    out = StringIO()
    found = [Compared(RATE, [100.0, 200.0, 400.0], [150.0, 260.0, 400.0]), Compared(COST, [0.0], [1.0])]
    Console(file=out, width=140).print(report(found, "v1", 3))
    rate, cost = (line for line in out.getvalue().splitlines() if line.startswith("│ writer"))
    assert [cell.strip() for cell in rate.split("│")[1:-1]] == [
        *("writer: stored", "200", "260", "1.3", "1 – 1.5", "points/s"),
    ]
    assert "nan" in cost


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two commits, whose benchmark stores 100 and 150 points/s; its environment is this one."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed here")
    root = tmp_path / "repository"
    (root / "bench").mkdir(parents=True)
    (root / "bench" / "__init__.py").touch()
    git(root, "init", "--quiet")
    for rate in (100, 150):
        (root / "bench" / "__main__.py").write_text(BENCH.replace("RATE", str(rate)))
        git(root, "add", ".")
        git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "x")
    monkeypatch.setattr(compare, "ROOT", root)
    monkeypatch.setattr(compare, "_installed", lambda worktree: Side(worktree, Path(sys.executable)))
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout


def test_each_commit_measures_itself(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    done = CliRunner().invoke(compare.main, ["HEAD~1", "writer", "--rounds", "2", "--json", str(path)])
    assert done.exit_code == 0, done.output
    (figure,) = json.loads(path.read_text())
    assert (figure["name"], figure["before"], figure["after"]) == ("stored", [100, 100], [150, 150])
    assert "1.5" in done.output
    assert len(git(repository, "worktree", "list").splitlines()) == 1, "the other worktree is gone"


@pytest.mark.parametrize(("revision", "says"), [("nothing", "invalid reference: nothing"), ("HEAD~1", "ZeroDivision")])
def test_what_fails_is_said_with_its_last_lines(repository: Path, revision: str, says: str) -> None:
    (repository / "bench" / "__main__.py").write_text("1 / 0")
    done = CliRunner().invoke(compare.main, [revision, "writer", "--rounds", "1"])
    assert done.exit_code == 1
    assert says in done.output
    assert len(git(repository, "worktree", "list").splitlines()) == 1
