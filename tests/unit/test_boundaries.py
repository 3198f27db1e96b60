"""Who may import whom: the receiver and the writer never each other, and `shared` neither of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("receiver", "writer", "shared", "ops", "bench", "migrations", "tests")
ALLOWED = {
    "shared": {"shared", "migrations"},
    "receiver": {"receiver", "shared"},
    "writer": {"writer", "shared"},
    "ops": {"ops", "shared", "migrations"},
    "bench": {"bench", "ops", "shared"},
}
# The command line offers both services, and its checks know what the writer would say of a payload.
EXCEPTIONS = {("ops/cli.py", "receiver"), ("ops/cli.py", "writer")}
# A replay appends as a receiver does, and foretells what the writer would make of a dead letter.
EXCEPTIONS |= {("ops/dlq/append.py", "receiver"), ("ops/dlq/forecast.py", "writer")}

# The benchmark starts Debian's servers as the tests do. It looks at the services from outside only.
EXCEPTIONS |= {(f"bench/{name}.py", "tests") for name in ("__main__", "footprint", "run", "servers")}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    assert modules(package)
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if (top := name.partition(".")[0]) in PACKAGES
        and top not in ALLOWED[package]
        and (str(path.relative_to(ROOT)), top) not in EXCEPTIONS
    ]
    assert not wrong


def test_nothing_below_a_main_reads_the_environment() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for package in ("receiver", "writer", "shared")
        for path in modules(package)
        if {"environ", "getenv"}
        & {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    ]
    assert readers == ["shared/config.py"]


def test_one_module_looks_at_sqlstates() -> None:
    lookers = [
        str(path.relative_to(ROOT))
        for package in ("receiver", "writer", "shared", "ops")
        for path in modules(package)
        if "sqlstate"
        in {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    ]
    assert lookers == ["writer/dead_letter.py", "shared/failure.py"]


@pytest.mark.parametrize("library", ["aiomqtt", "paho"])
def test_the_writer_knows_no_mqtt(library: str) -> None:
    assert not [path for path in modules("writer") if any(name.startswith(library) for name in imports(path))]


def test_no_file_is_over_300_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in ("receiver", "writer", "shared", "ops", "bench")
        for path in modules(package)
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long
