"""Every relative link of the documentation leads somewhere, to the very heading; every path that it names exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted({*ROOT.glob("*.md")} - {ROOT / "chaos.md"}), *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"`((?:bench|deploy|docs|migrations|ops|receiver|shared|tests|traksense_ingest|writer)/[\w./-]+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "code", FENCED.sub("", page.read_text()))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, spaces to hyphens, punctuation dropped, a number for each repetition."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in found)
        found.append(f"{anchor}-{again}" if again else anchor)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_path_that_is_named_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("it names files of earlier versions")
    for path in NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), path


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, due = set(), [ROOT / "README.md"]
    while due:
        page = due.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            due += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
            due += [place / "README.md" for place in due if place.is_dir() and (place / "README.md").exists()]
    assert reached >= set(PAGES)
