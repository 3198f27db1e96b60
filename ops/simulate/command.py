"""The command `simulate`."""

from __future__ import annotations

from typing import Any

import click

from traksense_ingest.ops.help import Command, moment, option
from traksense_ingest.shared.messages import NAME_MAX

RATE_MAX = 100_000.0  # messages/s; keeps the timestamps of a device at least 10 µs apart


def tenant_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A name that fits in a topic; raises BadParameter."""
    if not 1 <= len(value) <= NAME_MAX or not value.isprintable() or set(value) & set("/+#"):
        raise click.BadParameter(
            f"{value!r} should have 1 to {NAME_MAX} characters, no /, + or # and no control characters"
        )
    return value


def format_names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Names, separated by commas; none without the option."""
    return tuple(dict.fromkeys(name for part in (value or "").split(",") if (name := part.strip())))


@click.command(cls=Command)
@option("--devices", section="The fleet", type=click.IntRange(1, 100_000), default=20, help="How many devices.")
@option(
    "--rate",
    section="The fleet",
    type=click.FloatRange(0, RATE_MAX, min_open=True),
    default=20.0,
    help="Messages/s of all devices together.",
)
@option("--duration", section="How long", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds.")
@option("--messages", section="How long", type=click.IntRange(1), help="Stop after this many messages.")
@option(
    "--bad", section="The fleet", type=click.FloatRange(0, 1), default=0.0, help="The share of bad messages, 0 to 1."
)
@option(
    "--unanswered",
    section="The fleet",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="The share of commands that no device acknowledges, 0 to 1.",
)
@option("--tenant", section="The fleet", callback=tenant_name, default="demo", help="The tenant in the topics.")
@option(
    "--tenants",
    section="The fleet",
    type=click.IntRange(1, 10_000),
    default=1,
    help="Distribute the devices among this many tenants: demo-1, demo-2, …",
)
@option(
    "--format",
    "formats",
    section="The fleet",
    callback=format_names,
    metavar="NAME[,NAME]",
    show_default="version 1",
    help="Publish examples of these mappings of the library; the devices are distributed among them: chirpstack, "
    "geojson, je02, khomp, milesight, owntracks, parsec, shelly, tasmota, ttn or zigbee2mqtt.",
)
@option(
    "--seed",
    section="Reproducibility",
    type=int,
    show_default="random",
    help="Repeat a run: same seed and options, same messages.",
)
@option(
    "--start",
    section="Reproducibility",
    callback=moment,
    show_default="now",
    help="The first timestamp, such as 2025-10-07T15:30:00Z.",
)
@option(
    "--connections",
    type=click.IntRange(1, 1000),
    show_default="1 to 4, by the rate; with states one for each of up to 200 devices",
    help="MQTT connections; a device always uses the same one.",
)
@option("--progress/--no-progress", default=True, help="A progress bar, where stdout is a terminal.")
@option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def simulate(**options: Any) -> None:
    """Publish as a fleet of devices would.

    The devices are cold rooms, freezers and HVAC units. The broker is the one in the environment or .env: MQTT_URL,
    MQTT_USERNAME, MQTT_PASSWORD, MQTT_PROTOCOL, MQTT_TLS_CA, MQTT_TLS_CERT, MQTT_TLS_KEY. Messages are sent at QoS 1;
    one counts once its PUBACK has arrived, and is sent again if the connection is lost before.

    At the end, also after Ctrl-C, it prints how many rows each table of the database should have, with the SQL to
    compare. Events and ACKs are sent along with the telemetry, bad messages with --bad.

    If MQTT_TOPICS has the topics of commands (traksense/+/+/+/cmd), a backend sends commands to some devices, which
    acknowledge them a moment later. If it has those of states, each device has a connection of its own, publishes
    that it is online, at the end that it is offline, and has a last will. States are not counted as messages.

    Timestamps follow the rate: after an outage the devices send what they measured meanwhile. With the same --seed,
    only times and the ids made from them differ between runs; --start fixes these too.

    With --format the devices publish the examples of mappings of the library, with devices, times and readings of their
    own. The tenant is --tenant, or the one that INGEST_MAPPINGS sets for a mapping.

    \b
    Examples:
      traksense-ingest simulate --messages 100
      # a minute of 50 devices, one message in a hundred bad
      traksense-ingest simulate --devices 50 --rate 100 \\
        --duration 60 --bad 0.01
      # gateways of Khomp and a ChirpStack server
      traksense-ingest simulate --format khomp,chirpstack
      # the same 10 000 messages each time, for a script
      traksense-ingest simulate --seed 7 --messages 10000 \\
        --rate 2000 --json
    """
    from traksense_ingest.ops.simulate.run import session

    session(**options)
