"""Mapping files that tests make."""

from __future__ import annotations

import re
from collections.abc import Mapping as Dict
from pathlib import Path

from traksense_ingest.shared.mapping.load import LIBRARY, formats
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.shared.mapping.read.mapping import read_mapping

HEAD = "version: 1\nname: m\n"
NEEDED = {"tenant": "acme", "tz": "Europe/Berlin"}  # variables of the library that have no default


def faults(text: str, given: Dict[str, str] | None = None) -> list[str]:
    """What is wrong with a file's text."""
    return [str(fault) for fault in read_mapping(text.encode(), Path("m.yaml"), "m.yaml", given or {}).faults]


def mapping(text: str, given: Dict[str, str] | None = None, folder: Path = Path()) -> Mapping:
    """A file's text that has no faults."""
    read = read_mapping(text.encode(), folder / "m.yaml", "m.yaml", given or {})
    assert read.mapping, [str(fault) for fault in read.faults]
    return read.mapping


def route(text: str, head: str = HEAD) -> Route:
    """The only route of a file, given its lines; topics, time and points are filled in where they aren't in it."""
    lines = [f"    {line}" for line in text.strip().splitlines()]
    said = set(re.findall(r"^\w+", text, re.MULTILINE))
    has_rows = not said & {"kind", "ignore", "envelope"} and "decode: v1" not in text
    filled = {"topics": '"{tenant}/{site}/{device}"'} | ({"time": "received", "points": "[]"} if has_rows else {})
    lines += [f"    {key}: {value}" for key, value in filled.items() if key not in said]
    return mapping(f"{head}routes:\n  - name: r\n" + "\n".join(lines)).routes[0]


def library_entry(name: str) -> str:
    """A name of the library with the variables that it needs, for INGEST_MAPPINGS."""
    text = (LIBRARY / f"{name}.yaml").read_text()
    needed = [f"{key}={value}" for key, value in NEEDED.items() if f"{key}: null" in text]
    return f"{name}?{'&'.join(needed)}" if needed else name


def whole_library() -> str:
    """INGEST_MAPPINGS with all that ships."""
    return ",".join(library_entry(name) for name in formats())
