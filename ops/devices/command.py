"""The command `devices`, which lists them, and `devices set`."""

from __future__ import annotations

import click
from click.core import ParameterSource

from traksense_ingest.ops.help import Command, Group, argument, option
from traksense_ingest.shared.messages import DEVICE_STATUSES

WHICH, SHOWN = "Which devices", "What is shown"
SKEWED_S = 60.0  # a message takes seconds, so a clock that is off by a minute is wrong
WATCH_S = 5.0
LONGEST_S = 86_400 * 366
SECONDS = click.FloatRange(0, LONGEST_S, min_open=True)
LEARNED = "learned"


def interval_or_learned(_ctx: click.Context, _param: click.Parameter, value: str) -> float | str:
    """A number of seconds, or LEARNED; raises BadParameter."""
    if value == LEARNED:
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_S:
        raise click.BadParameter(f"{value!r} is neither a number of seconds from 1 to {LONGEST_S} nor {LEARNED!r}")
    return seconds


def _complete_interval(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [LEARNED] if LEARNED.startswith(incomplete) else []


@click.group(cls=Group, invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@option("--tenant", section=WHICH, help="Of this tenant.")
@option("--name", section=WHICH, metavar="TEXT", help="With this text in the name; upper and lower case are the same.")
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
@click.pass_context
def devices(
    ctx: click.Context,
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
    right. The interval is learned, or set with `devices set`. A device is late after twice its interval and silent
    after five times, and a minute more; offline if its last will says so. Those that are silent, offline or late come
    first, then those whose clock is off by a minute or more.

    On a terminal times are in UTC, ages and intervals are rounded. In a pipe a device is one line: tenant, device,
    site, status, since, last seen, last reading, interval and skew in seconds, separated by tabs, after the counts and
    an empty line. Needs DATABASE_URL with the tables' owner or traksense_writer.

    \b
    Examples:
      traksense-ingest devices --silent --tenant acme
      # devices with a problem, updated as they change
      traksense-ingest devices --status silent \\
        --status late --status offline --watch
      # clocks that are off by five minutes or more
      traksense-ingest devices --skewed 300
      # for a script
      traksense-ingest devices --json | jq .counts
      # a door that sends only when it opens
      traksense-ingest devices set acme door-3 \\
        --interval 86400
    """
    if ctx.invoked_subcommand is not None:
        _require_no_option(ctx)
        return
    from traksense_ingest.ops.devices.listing import list_devices
    from traksense_ingest.ops.devices.table import Selection
    from traksense_ingest.shared import config

    chosen = [*statuses, *["silent"] * silent] or None
    list_devices(config.load(), Selection(tenant, chosen, skewed, name), limit, watch, as_json=as_json)


@devices.command("set", cls=Command)
@argument("tenant", metavar="TENANT", section=WHICH, explanation="Whose devices.")
@argument("names", metavar="[DEVICE]...", nargs=-1, section=WHICH, explanation="These.")
@option("--site", section=WHICH, help="All at this site.")
@option("--all", "all_", section=WHICH, is_flag=True, help="All of the tenant.")
@option(
    "--interval",
    section="What is set",
    callback=interval_or_learned,
    shell_complete=_complete_interval,
    required=True,
    metavar="SECONDS",
    help=f"How often a device sends; {LEARNED}: what its messages show.",
)
def set_(tenant: str, names: tuple[str, ...], site: str | None, all_: bool, interval: float | str) -> None:
    """Set the interval at which devices send.

    It counts at once instead of the learned interval, until it is learned again. If a device is not known, nothing is
    changed, and the exit code is 1. Needs DATABASE_URL with the tables' owner or traksense_writer.

    \b
    Examples:
      # a door that sends only when it opens, once a day
      traksense-ingest devices set acme door-3 \\
        --interval 86400
      # all meters at a site send every quarter of an hour
      traksense-ingest devices set acme --site roof \\
        --interval 900
      # as it was
      traksense-ingest devices set acme --all \\
        --interval learned
    """
    if bool(names) + (site is not None) + all_ != 1:
        raise click.UsageError("name devices, or give either --site or --all")

    from traksense_ingest.ops.devices.interval import Chosen, set_interval
    from traksense_ingest.shared import config

    seconds = interval if isinstance(interval, float) else None
    set_interval(config.load(), Chosen(tenant, names or None, site), seconds)


def _require_no_option(ctx: click.Context) -> None:
    """The options of the list choose nothing for a subcommand."""
    for parameter in ctx.command.params:
        if ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} does not go with `{ctx.invoked_subcommand}`")
