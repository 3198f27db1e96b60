"""`console`: reads the users, and runs the server until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from traksense_ingest.ops.console.guard.private import is_private
from traksense_ingest.ops.console.guard.users import User, read_users
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.server import serve
from traksense_ingest.ops.mapping.playground.confinement import hide_memory
from traksense_ingest.ops.status.run import run_with_daemon_threads
from traksense_ingest.shared import config
from traksense_ingest.shared.runtime import log
from traksense_ingest.shared.runtime.service import EXIT_OK

logger = logging.getLogger(__name__)


def run_console(users: Path | None, make_options: Callable[[Mapping[str, User]], Options]) -> None:
    """Until Ctrl-C or SIGTERM. Raises ConfigurationError."""
    hide_memory()
    options = make_options(read_users(users) if users else {})
    settings = config.load()
    log.configure(settings.log_level, settings.log_format)
    if users and not is_private(users):
        logger.warning("--users %s: every user of this machine can read it; run `chmod 600` on it", users)
    run_with_daemon_threads(_run(settings, options))


async def _run(settings: config.Settings, options: Options) -> int:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await serve(settings, options, stop)
    logger.info("stopped")
    return EXIT_OK
