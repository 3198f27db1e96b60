"""Who may import whom: the receiver and the writer never each other, and `shared` neither of them; and all of it by the
package's one name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "traksense_ingest"
FOLDERS = ("receiver", "writer", "shared", "ops", "migrations")  # of the package, which has links to them
PACKAGES = (*FOLDERS, "bench", "tests")
ALLOWED = {
    "shared": {"shared", "migrations"},
    "receiver": {"receiver", "shared"},
    "writer": {"writer", "shared"},
    "ops": {"ops", "shared", "migrations"},
    "bench": {"bench", "ops", "shared"},
}
# The command line offers both services, and its checks know what the writer would say of a payload.
EXCEPTIONS = {("ops/cli.py", "receiver"), ("ops/cli.py", "writer")}
# `dlq replay` and `import` append as a receiver does, and foretell what the writer would make of a message; `dlq show`
# unpacks a dead letter.
EXCEPTIONS |= {("ops/appending/streams.py", "receiver"), ("ops/forecast.py", "writer")}
EXCEPTIONS |= {("ops/dlq/payload.py", "writer")}
# `mapping` and simulated devices of a format foretell it too.
EXCEPTIONS |= {(str(path.relative_to(ROOT)), "writer") for path in (ROOT / "ops" / "mapping").rglob("*.py")}
EXCEPTIONS |= {("ops/simulate/formats.py", "writer")}
# The decoder, and what a lane does in Redis, are measured without a service around them.
EXCEPTIONS |= {("bench/scenarios/decode.py", "writer"), ("bench/scenarios/redis.py", "writer")}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix(f"{PACKAGE}.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield (node.module or "").removeprefix(f"{PACKAGE}.")


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


def test_the_folders_are_imported_by_the_package_alone() -> None:
    """`from ops import …` would be another distribution's `ops` where the package is installed."""
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in (*PACKAGES, "deploy")
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _named(node)
        if name.partition(".")[0] in FOLDERS
    ]
    assert not bare


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_nothing_below_a_main_reads_the_environment() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for package in ("receiver", "writer", "shared")
        for path in modules(package)
        if {"environ", "getenv"}
        & {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    ]
    assert readers == ["shared/config.py"]


def test_one_module_classifies_sqlstates() -> None:
    lookers = [
        str(path.relative_to(ROOT))
        for package in ("receiver", "writer", "shared", "ops")
        for path in modules(package)
        if "sqlstate"
        in {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    ]
    assert lookers == ["writer/store/dead_letter.py", "shared/failure.py"]


@pytest.mark.parametrize("library", ["aiomqtt", "paho"])
def test_the_writer_knows_no_mqtt(library: str) -> None:
    assert not [path for path in modules("writer") if any(name.startswith(library) for name in imports(path))]


def test_private_names_of_libraries_are_used_in_three_files_with_their_reasons() -> None:
    uses = {
        str(path.relative_to(ROOT)): re.findall(r"# noqa: SLF001(.*)", path.read_text())
        for package in ("receiver", "writer", "shared", "ops", "bench")
        for path in modules(package)
    }
    files = {"receiver/wire.py", "shared/mqtt_client.py", "ops/mapping/playground/process.py"}
    assert {path for path, found in uses.items() if found} == files
    assert all(re.fullmatch(r"  \(.+\)", reason) for found in uses.values() for reason in found)


def test_what_asyncpg_raises_for_a_lost_connection_is_listed_once() -> None:
    lists = [
        str(path.relative_to(ROOT))
        for package in ("receiver", "writer", "shared", "ops", "bench")
        for path in modules(package)
        if re.search(r"asyncpg\.(InterfaceError|InternalClientError)", path.read_text())
    ]
    assert lists == ["shared/failure.py"]


def test_no_file_is_over_300_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in ("receiver", "writer", "shared", "ops", "bench", "tests")
        for path in modules(package)
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long
