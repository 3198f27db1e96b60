"""What an operator is told to paste, taken from docs/security.md as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    found = re.findall(rf"^```{re.escape(language)}\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/security.md has no block {language!r}"
    return found
