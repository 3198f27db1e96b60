"""Vendor formats: each is a module with two small pure functions, registered here.

A telem payload without `schema` goes to the first adapter that recognises it.
"""

from __future__ import annotations

from typing import Any, Protocol

from traksense_ingest.writer.decode.adapters import parsec_v1
from traksense_ingest.writer.decode.schema import Telemetry


class Adapter(Protocol):
    """A module of this folder."""

    def recognises(self, message: dict[str, Any]) -> bool:
        """Whether a JSON object is of this format."""

    def adapt(self, message: dict[str, Any]) -> Telemetry:
        """The message as telemetry; raises pydantic's ValidationError, or Poison."""


ADAPTERS: tuple[Adapter, ...] = (parsec_v1,)
