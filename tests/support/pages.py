"""The console's pages, found from its routes: one that is added is tested without a word here."""

from __future__ import annotations

import re

from traksense_ingest.ops.console.app import PAGES

VALUES = {"shard": "0", "number": "0", "n": "0", "stream": "0", "id": "1", "tenant": "fleet", "device": "sim-00001"}
NAMES = {
    "/": "pipeline",
    "/dead": "dead-letters",
    "/devices": "devices",
    "/map": "playground",
    "/streams/0": "streams",
    "/audit": "audit",
}  # of the pages that the header names, and of their pictures


def path_of(pattern: str, **values: str) -> str:
    """A route's path with a value for each parameter: `/dead/{id:int}` becomes `/dead/1`."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: (VALUES | values)[found[1]], pattern)


def opened_pages() -> list[str]:
    """Those of NAMES that there are."""
    there = {path_of(page.path) for page in PAGES if not page.is_post}
    return [path for path in NAMES if path in there]
