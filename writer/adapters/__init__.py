"""Vendor formats, each a small pure function in a module of its own, registered here.

A telem payload without `schema` goes to the first adapter that recognises it.
"""

from __future__ import annotations

from typing import Any, Protocol

from writer.adapters import parsec_v1
from writer.schema import Telemetry


class Adapter(Protocol):
    """A module of this folder."""

    def recognises(self, message: dict[str, Any]) -> bool:
        """Whether a JSON object is of this format."""

    def adapt(self, message: dict[str, Any]) -> Telemetry:
        """What it says, in our terms; raises pydantic's ValidationError or Poison when it is wrong."""


ADAPTERS: tuple[Adapter, ...] = (parsec_v1,)
