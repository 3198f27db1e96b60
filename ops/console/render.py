"""The templates. All text is escaped, because devices may send HTML."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from traksense_ingest.ops.terminal import at, duration, latency, number, printable, rate

FOLDER = Path(__file__).parent


def _thousands(count: float) -> str:
    """`12 345`, with narrow no-break spaces."""
    return f"{count:,.0f}".replace(",", "\u202f")


TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    enable_async=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "at": at,
    "duration": duration,
    "latency": latency,
    "number": number,
    "printable": printable,
    "rate": rate,
    "thousands": _thousands,
}
