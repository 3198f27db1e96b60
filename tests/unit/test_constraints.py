"""constraints.txt pins what CI installs, and nothing but versions."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
INSTALLED_BY_CI = ("console", "dev", "embedded", "fuzz")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_each_line_is_a_name_and_a_version() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[\d!.a-z]+", line) for line in LINES)
    assert sorted(LINES) == LINES


def test_what_ci_installs_is_pinned() -> None:
    project = PROJECT["project"]
    extras = [project["optional-dependencies"][extra] for extra in INSTALLED_BY_CI]
    wanted = [*project["dependencies"], *PROJECT["build-system"]["requires"], *chain.from_iterable(extras)]
    names = {normalized(re.match(r"[\w.-]+", line)[0]) for line in wanted}  # type: ignore[index]
    assert names <= {line.partition("==")[0] for line in LINES}
