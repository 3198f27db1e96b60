"""Whether the mappings that a command works with are those of the writers: else what it says, or the shards that it
chooses, are not theirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import click

from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import REDIS_ERRORS
from traksense_ingest.shared.listing import listed
from traksense_ingest.shared.streams.client import Clients, connect
from traksense_ingest.shared.streams.heartbeat import Digests, Writer, writers

ANSWER_S = 2.0  # a command that needs no Redis does not wait for it


async def warn_of_others(settings: Settings, mappings: Digests) -> None:
    """As `warn`, over a connection of its own; nothing where Redis does not answer."""
    with contextlib.suppress(*REDIS_ERRORS, TimeoutError, ConfigurationError):
        async with asyncio.timeout(ANSWER_S), connect(settings.redis_url) as clients:
            await warn(clients, mappings)


async def warn(clients: Clients, mappings: Digests) -> None:
    """One line on stderr if a writer that runs has other mappings than these; nothing where Redis refuses to say."""
    with contextlib.suppress(*REDIS_ERRORS):
        if names := differing(mappings, await writers(clients)):
            text = "warning: the writers run with other mappings than this command"
            click.echo(f"{text} ({listed(map(printable, names))}): give it their INGEST_MAPPINGS", err=True)


def differing(mappings: Digests, others: Sequence[Writer]) -> list[str]:
    """The names of mappings that only a writer has or only this command, or that have another content."""
    found = {
        name
        for writer in others
        if writer.mappings is not None
        for name, _ in writer.mappings.items() ^ mappings.items()
    }
    return sorted(found)
