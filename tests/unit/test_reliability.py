"""docs/reliability.md and docs/redis.md: each test and fault that they name is there; the first names each fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS as COMMON_FAULTS
from tests.chaos.redis_faults import OF_REDIS
from tests.support.handbook import DOCS

PAGE = (DOCS / "reliability.md").read_text()
REDIS_PAGE = (DOCS / "redis.md").read_text()
FAILURES = PAGE.partition("\n## Failures\n")[2].partition("\n## Operators' mistakes\n")[0]
TESTS = Path(__file__).parents[1]
FILES = [*TESTS.rglob("test_*.py")]
FAULTS = {fault.name for faults in (COMMON_FAULTS, *OF_REDIS.values()) for fault in faults}


def quoted(pattern: str, text: str = PAGE) -> list[str]:
    return sorted(set(re.findall(rf"`({pattern})`", text)))


@pytest.mark.parametrize("name", quoted(r"test_\w+", PAGE + REDIS_PAGE))
def test_a_test_that_is_named_is_there(name: str) -> None:
    definition = re.compile(rf"^(async )?def {name}(\w*)\(", re.MULTILINE)
    found = [match[2] for path in FILES for match in definition.finditer(path.read_text())]
    assert "" in found or (name == "test_a_writer_crashes" and found), "as it is written, or the beginning of several"


@pytest.mark.parametrize("name", quoted(r"(?:tests/integration/)?test_\w+\.py"))
def test_a_file_that_is_named_is_there(name: str) -> None:
    assert any(f"/{path}".endswith(f"/{name}") for path in map(str, FILES))


def test_a_test_of_another_file_is_in_it() -> None:
    named = re.findall(r"`(test_\w+)` in `(test_\w+\.py)`", PAGE)
    assert named
    for test, file in named:
        assert f"def {test}(" in (TESTS / "integration" / file).read_text(), test


@pytest.mark.parametrize("link", ["broker", "redis", "database"])
def test_each_link_has_its_faults(link: str) -> None:
    assert f"`{link} connection: …`" in FAILURES
    assert {name.partition(": ")[2] for name in FAULTS if name.startswith(f"{link} connection: ")} == set(
        re.search(r"any connection: ([^|]+) \|", FAILURES)[1].split(", ")  # type: ignore[index]
    )


def test_the_faults_that_are_named_are_there() -> None:
    named = set(quoted(r"[a-z ]+: [^`…]+", FAILURES))
    assert named == {name for name in FAULTS if " connection: " not in name}


def test_the_faults_that_the_page_of_redis_names_are_there() -> None:
    named = set(quoted(r"[a-z]+: [^`]+", REDIS_PAGE))
    assert "cluster: slots moved" in named
    assert named <= FAULTS
