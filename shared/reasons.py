"""Why a message can never be stored: the classes that a dead letter's reason begins with."""

from __future__ import annotations

POISON_REASONS = (
    "parse_error",
    "invalid_topic",
    "out_of_range",
    "payload_too_large",
    "data_error",
    "max_deliveries",
)
