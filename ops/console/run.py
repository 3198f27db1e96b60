"""What the command does: reads the users, and runs the console until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

from traksense_ingest.ops.console.guard.users import read_users
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.server import serve
from traksense_ingest.shared import config
from traksense_ingest.shared.runtime import log

TOKEN_VARIABLE = "TRAKSENSE_CONSOLE_TOKEN"  # noqa: S105  (by which `up` passes the token of the first link)

logger = logging.getLogger(__name__)


def run_console(host: str, port: int, users: Path | None, names: tuple[str, ...], prefix: str) -> None:
    """Until Ctrl-C or SIGTERM. Raises ConfigurationError."""
    known = read_users(users) if users else {}
    options = Options.checked(host, port, known, names, prefix, os.environ.pop(TOKEN_VARIABLE, None))
    settings = config.load()
    log.configure(settings.log_level, settings.log_format)
    asyncio.run(_run(settings, options))


async def _run(settings: config.Settings, options: Options) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await serve(settings, options, stop)
    logger.info("stopped")
