"""What an installation brings: one top-level name, whatever else is installed, and programs that run from anywhere."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
NAME = "traksense_ingest"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip wheel` does; it fetches the build's own requirement."""
    directory = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(directory))
    return next(directory.glob("*.whl"))


@pytest.fixture
def environment(tmp_path: Path, wheel: Path) -> Path:
    """An environment that has the wheel and nothing else."""
    venv.create(tmp_path, with_pip=False)
    pip(str(tmp_path / "bin" / "python"), "install", "--no-deps", str(wheel))
    return tmp_path


def pip(python: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named" in done.stderr or "Could not find a version" in done.stderr:
        pytest.skip(f"pip can't build here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def test_it_has_one_top_level_name(environment: Path) -> None:
    packages = next((environment / "lib").glob("python*/site-packages"))
    installed = {entry.name for entry in packages.iterdir()}
    assert installed == {NAME, f"{NAME}-{distribution(NAME).version}.dist-info"}


def test_a_wheel_made_from_the_source_archive_is_the_same(tmp_path: Path, wheel: Path) -> None:
    """As package indexes want it; the archive has the files of the package themselves, where the checkout has links."""
    builder, archives = tmp_path / "builder", tmp_path / "archives"
    venv.create(builder, with_pip=False)
    python = str(builder / "bin" / "python")
    pip(python, "install", "hatchling")
    command = [python, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(archives)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = archives.iterdir()
    pip(sys.executable, "wheel", str(archive), "--no-deps", "--wheel-dir", str(tmp_path))
    (again,) = tmp_path.glob("*.whl")
    assert set(ZipFile(again).namelist()) == set(ZipFile(wheel).namelist())


def test_it_has_all_that_is_no_module(wheel: Path) -> None:
    folders = [entry for entry in (ROOT / NAME).iterdir() if entry.is_symlink()]
    wanted = {
        f"{NAME}/{file.relative_to(ROOT)}"
        for folder in folders
        for suffix in ("sql", "lua")
        for file in (ROOT / folder.name).rglob(f"*.{suffix}")
    }
    assert len(wanted) > 20
    assert wanted | {f"{NAME}/py.typed"} <= set(ZipFile(wheel).namelist())


@pytest.mark.parametrize("service", ["receiver", "writer"])
@pytest.mark.parametrize("prefix", ["", f"{NAME}."], ids=["from the checkout", "by the package"])
def test_a_service_runs_as_a_module(service: str, prefix: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", prefix + service, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"python -m {service}" in done.stdout
