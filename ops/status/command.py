"""The command `status`."""

from __future__ import annotations

import asyncio
import sys
import time

import click
from redis.exceptions import RedisError
from rich.console import Console

from ops.status.report import Status
from ops.status.shard import read_shard
from shared import config
from shared.config import Settings, redacted
from shared.failure import describe, is_hopeless
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED
from shared.stream import connect


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--sample", type=click.FloatRange(0, 60), default=1.0, show_default=True, help="Seconds over which rates are taken."
)
def status(as_json: bool, sample: float) -> None:
    """Show the streams, who reads them, and whether the sums agree.

    On each shard, at any instant: entries added = stored + dead-lettered + in the stream. Exit code 1 when they do not
    agree, or when Redis can't be asked.

    \b
    The same by hand:
        redis-cli HGETALL 'ingest:{0}:ledger'
        redis-cli XINFO STREAM 'ingest:{0}'
    """
    settings = config.load()
    try:
        found = asyncio.run(look(settings, sample))
    except (RedisError, OSError) as error:
        print(f"REDIS_URL={redacted(settings.redis_url)}: {describe(error)}", file=sys.stderr)
        sys.exit(EXIT_MISCONFIGURED if is_hopeless(error) else EXIT_FAILED)
    if as_json:
        print(found.as_json())
    else:
        Console(highlight=False).print(found.screen())
    sys.exit(0 if found.agrees else EXIT_FAILED)


async def look(settings: Settings, sample_s: float) -> Status:
    """Look twice, `sample_s` apart; raises what redis-py raises."""
    async with connect(settings.redis_url) as client:
        shards = range(settings.ingest_shards)
        before, started = [await read_shard(client, shard) for shard in shards], time.monotonic()
        await asyncio.sleep(sample_s)
        now, ended = [await read_shard(client, shard) for shard in shards], time.monotonic()
    return Status(before, now, ended - started, settings.ingest_queue_max)
