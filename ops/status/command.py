"""The command `status`."""

from __future__ import annotations

import asyncio
import json
import sys

import click
from redis.exceptions import RedisError
from rich.console import Console

from ops.status.accept import accept_loss
from ops.status.database import DatabaseAway
from ops.status.look import look
from shared import config
from shared.config import Settings, redacted
from shared.failure import describe, is_hopeless
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--sample", type=click.FloatRange(0, 60), default=1.0, show_default=True, help="Seconds over which rates are taken."
)
@click.option(
    "--accept-loss", "accept", is_flag=True, help="Write off what is missing and lost, so that the sums agree again."
)
def status(as_json: bool, sample: float, accept: bool) -> None:
    """Show the streams, who reads them, and whether the sums agree.

    On each shard, at any instant: entries added = stored + dead-lettered + written off + in the stream. Exit code 1
    when they do not agree, when a stream was lost with entries in it, or when Redis can't be asked.

    \b
    The same by hand:
        redis-cli HGETALL 'ingest:{0}:ledger'
        redis-cli XINFO STREAM 'ingest:{0}'
        psql … -c 'SELECT * FROM stream_ledger'
    """
    settings = config.load()
    try:
        agrees = _accept(settings, as_json) if accept else _show(settings, as_json, sample)
    except (RedisError, OSError) as error:
        _fail(f"REDIS_URL={redacted(settings.redis_url)}: {describe(error)}", error)
    except DatabaseAway as error:
        _fail(f"{error}; nothing was written off", error.__cause__ or error)
    sys.exit(0 if agrees else EXIT_FAILED)


def _show(settings: Settings, as_json: bool, sample: float) -> bool:
    found = asyncio.run(look(settings, sample))
    if as_json:
        print(found.as_json())
    else:
        Console(highlight=False).print(found.screen())
    return found.agrees


def _accept(settings: Settings, as_json: bool) -> bool:
    accepted = asyncio.run(accept_loss(settings))
    if as_json:
        print(json.dumps({"accepted": accepted}))
    else:
        for stream, count in accepted.items():
            print(f"{stream}: {count} entries written off" if count else f"{stream}: nothing to write off")
    return True


def _fail(line: str, error: BaseException) -> None:
    print(line, file=sys.stderr)
    sys.exit(EXIT_MISCONFIGURED if is_hopeless(error) else EXIT_FAILED)
