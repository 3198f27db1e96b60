"""What no test reaches."""

from __future__ import annotations

from collections.abc import Iterator

from traksense_ingest.shared.mapping.faults import Fault
from traksense_ingest.shared.mapping.mappings import Mappings


def untested(mappings: Mappings) -> Iterator[Fault]:
    """Routes without a test, of the files that were named."""
    yield from ()
