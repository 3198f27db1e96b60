"""Payloads of Sparkplug B."""

from __future__ import annotations

from typing import Any

from traksense_ingest.writer.decode.formats.sparkplug_schema import DATATYPES, Payload

NOW_MS = 1795881605000
INT32 = DATATYPES.index("Int32")


def payload(*metrics: dict[str, Any]) -> bytes:
    """One with these metrics."""
    message = Payload(timestamp=NOW_MS)
    for metric in metrics:
        message.metrics.add(**metric)
    encoded: bytes = message.SerializeToString()
    return encoded
