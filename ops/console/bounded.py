"""How long a page waits for a server that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import IngestError


@asynccontextmanager
async def bounded(variable: str, url: str, seconds: float) -> AsyncIterator[None]:
    """Raises IngestError, with one line that names the variable, if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise IngestError(f"{variable}={redacted(url)}: no answer within {seconds:g} s") from None
