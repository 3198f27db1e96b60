"""The command `devices`."""

from __future__ import annotations

import click

from traksense_ingest.ops.help import Command, option
from traksense_ingest.shared.messages import DEVICE_STATUSES

WHICH, SHOWN = "Which devices", "What is shown"
SKEWED_S = 60.0  # a message takes seconds, so a clock that is off by a minute is wrong
WATCH_S = 5.0
SECONDS = click.FloatRange(0, 86_400 * 366, min_open=True)


@click.command(cls=Command)
@option("--tenant", section=WHICH, help="Of this tenant.")
@option("--name", section=WHICH, metavar="TEXT", help="With this text in the name, in upper or lower case.")
@option(
    "--status",
    "statuses",
    section=WHICH,
    type=click.Choice(DEVICE_STATUSES),
    multiple=True,
    metavar="STATUS",
    help=f"With this status: {', '.join(DEVICE_STATUSES)}. May be given several times.",
)
@option("--silent", section=WHICH, is_flag=True, help="The same as --status silent.")
@option(
    "--skewed",
    section=WHICH,
    is_flag=False,
    flag_value=SKEWED_S,
    type=SECONDS,
    metavar="[SECONDS]",
    show_default=False,
    help=f"Whose clock is off by {SKEWED_S:g} s or more, or by so much; the furthest off first.",
)
@option("--limit", section=SHOWN, type=click.IntRange(0), default=50, help="At most this many; 0: only the counts.")
@option("--json", "as_json", section=SHOWN, is_flag=True, help="One JSON object; with --watch one a line.")
@option(
    "--watch",
    section=SHOWN,
    is_flag=False,
    flag_value=WATCH_S,
    type=click.FloatRange(0, 3600, min_open=True),
    metavar="[SECONDS]",
    show_default=False,
    help=f"Repeat every {WATCH_S:g} seconds, or at this interval, until Ctrl-C.",
)
def devices(
    tenant: str | None,
    name: str | None,
    statuses: tuple[str, ...],
    silent: bool,
    skewed: float | None,
    limit: int,
    as_json: bool,
    watch: float | None,
) -> None:
    """Show which devices are silent.

    Each device's status and since when, when it was last seen, at which interval it sends, and whether its clock is
    right. The interval is learned, or set by hand. A device is late after twice its interval and silent after five
    times, and a minute more; offline if its last will says so. Those that are silent, offline or late come first, then
    those whose clock is off by a minute or more.

    On a terminal times are in UTC, ages and intervals are rounded. In a pipe a device is one line: tenant, device,
    site, status, since, last seen, last reading, interval and skew in seconds, separated by tabs, after the counts and
    an empty line. Needs DATABASE_URL with the tables' owner or traksense_writer.

    \b
    Examples:
      traksense-ingest devices --silent --tenant acme
      # what needs somebody, as it changes
      traksense-ingest devices --status silent \\
        --status late --status offline --watch
      # clocks that are off by five minutes or more
      traksense-ingest devices --skewed 300
      # for a script
      traksense-ingest devices --json | jq .counts
    """
    from traksense_ingest.ops.devices.listing import list_devices
    from traksense_ingest.ops.devices.table import Selection
    from traksense_ingest.shared import config

    chosen = [*statuses, *["silent"] * silent] or None
    list_devices(config.load(), Selection(tenant, chosen, skewed, name), limit, watch, as_json=as_json)
