"""How long data is kept, compressed and aggregated: the database as the variables ask."""

from __future__ import annotations

from traksense_ingest.shared.errors import ConfigurationError


class Refused(ConfigurationError):
    """The variables ask for something impossible, or for what would expose data; nothing was changed."""
