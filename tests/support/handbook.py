"""What the documentation asks an operator to paste."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(language: str, page: str = "security.md") -> list[str]:
    """The fenced blocks of a language, in order."""
    text = (DOCS / page).read_text()
    found = re.findall(rf"^```{re.escape(language)}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no block {language!r}"
    return found
