"""The command `simulate`."""

from __future__ import annotations

from typing import Any

import click

from ops.help import Command, option
from ops.simulate.options import moment, tenant_name

RATE_MAX = 100_000.0  # messages/s; keeps the timestamps of a device at least 10 µs apart


@click.command(cls=Command)
@option("--devices", section="The fleet", type=click.IntRange(1, 100_000), default=20, help="How many devices.")
@option(
    "--rate",
    section="The fleet",
    type=click.FloatRange(0, RATE_MAX, min_open=True),
    default=20.0,
    help="Messages/s of all devices together.",
)
@option("--duration", section="How long", type=click.FloatRange(0, min_open=True), help="Stop after so many seconds.")
@option("--messages", section="How long", type=click.IntRange(1), help="Stop after so many messages.")
@option(
    "--bad", section="The fleet", type=click.FloatRange(0, 1), default=0.0, help="The share of bad messages, 0 to 1."
)
@option("--tenant", section="The fleet", callback=tenant_name, default="demo", help="The tenant in the topics.")
@option(
    "--tenants",
    section="The fleet",
    type=click.IntRange(1, 10_000),
    default=1,
    help="Share the devices out among so many tenants: demo-1, demo-2, …",
)
@option(
    "--seed",
    section="The same again",
    type=int,
    show_default="random",
    help="Repeat a run: same seed and options, same messages.",
)
@option(
    "--start",
    section="The same again",
    callback=moment,
    show_default="now",
    help="The first timestamp, as 2025-10-07T15:30:00Z.",
)
@option(
    "--connections",
    type=click.IntRange(1, 1000),
    show_default="1 to 4, by the rate",
    help="MQTT connections; a device keeps to its own.",
)
@option("--progress/--no-progress", default=True, help="A progress bar, where stdout is a terminal.")
@option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def simulate(**options: Any) -> None:
    """Publish as a fleet of devices would.

    Refrigerators, cold rooms and HVAC units, and then what to expect in the database. The broker is the one in the
    environment or .env: MQTT_URL, MQTT_USERNAME, MQTT_PASSWORD, MQTT_PROTOCOL, MQTT_TLS_CA, MQTT_TLS_CERT,
    MQTT_TLS_KEY. Messages go out at QoS 1; one counts when its PUBACK is there, and is sent again when the connection
    is lost before.

    At the end, Ctrl-C included, a table says how many rows each database table should have, with the
    SQL to compare. Events and ACKs come along with the telemetry, bad messages if you ask for them.

    Timestamps follow the rate: after an outage the devices catch up on what they measured meanwhile.
    With the same --seed, only times and the ids made of them differ between runs; --start fixes these too.

    \b
    Examples:
      traksense-ingest simulate --messages 100
      # a minute of 50 devices, one message in a hundred bad
      traksense-ingest simulate --devices 50 --rate 100 \\
        --duration 60 --bad 0.01
      # the same 10 000 messages each time, for a script
      traksense-ingest simulate --seed 7 --messages 10000 \\
        --rate 2000 --json
    """
    from ops.simulate.session import session

    session(**options)
