"""What several commands of `mapping` share: which mappings, which messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from traksense_ingest.ops.dlq.options import ID, duration
from traksense_ingest.ops.help import argument, moment, option

F = TypeVar("F", bound=Callable[..., Any])

MESSAGES = "Which messages"
FILE = click.Path(dir_okay=False, path_type=Path)
_SPECS = "Files, folders, or names of the library."


def seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A duration in s; raises BadParameter."""
    if value is None:
        return None
    try:
        found = duration(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not found:
        raise click.BadParameter("0s is too short to listen")
    return found


specs = argument("specs", metavar="[MAPPINGS]...", nargs=-1, explanation=f"{_SPECS} The default is INGEST_MAPPINGS.")
as_json = option("--json", "as_json", is_flag=True, help="Print JSON, one object in each line.")
topic = option(
    "--topic", section=MESSAGES, help="The topic of the message; with --live, a topic filter to subscribe to."
)
payload = option("--payload", section=MESSAGES, help="The payload as text.")
payload_file = option("--payload-file", section=MESSAGES, type=FILE, help="A file that holds exactly the payload.")
hexadecimal = option("--hex", "hexadecimal", section=MESSAGES, metavar="HEX", help="The payload in hexadecimal.")
received = option(
    "--received",
    section=MESSAGES,
    callback=moment,
    metavar="TIME",
    show_default="now",
    help="When the message was received, such as 2026-10-07T15:30:00Z.",
)
retained = option("--retained", section=MESSAGES, is_flag=True, help="The message is a retained one (RETAIN in MQTT).")
live = option(
    "--live",
    section=MESSAGES,
    callback=seconds,
    metavar="DURATION",
    help="Messages that the broker delivers within this time: 30s, 5m.",
)
capture = option(
    "--capture", section=MESSAGES, type=FILE, help="Messages in a file that `mapping try --save` has written."
)
save = option("--save", section=MESSAGES, type=FILE, help="Also write the messages to this file, as JSON Lines.")
dlq_id = option("--dlq", section=MESSAGES, type=ID, metavar="ID", help="The message of this dead letter.")
stream = option(
    "--stream",
    section=MESSAGES,
    type=click.IntRange(1, 100_000),
    metavar="NUMBER",
    help="So many of the newest messages in the streams.",
)


def given_message(command: F) -> F:
    """--topic, --payload, --payload-file, --hex, --received and --retained."""
    return topic(payload(payload_file(hexadecimal(received(retained(command))))))


@dataclass(frozen=True, slots=True)
class Given:
    """A message from the command line."""

    topic: str | None = None
    payload: str | None = None
    payload_file: Path | None = None
    hexadecimal: str | None = None
    received: datetime | None = None
    retained: bool = False

    @property
    def has_payload(self) -> bool:
        """Whether there is a payload, of whatever kind."""
        return any(each is not None for each in (self.payload, self.payload_file, self.hexadecimal))


def only_one(**sources: object) -> str:
    """Which of these options is given; raises UsageError if it isn't exactly one."""
    names = [f"--{name.replace('_', '-')}" for name, value in sources.items() if value]
    everything = [f"--{name.replace('_', '-')}" for name in sources]
    if len(names) != 1:
        listed = f"{', '.join(everything[:-1])} or {everything[-1]}"
        raise click.UsageError(f"{' and '.join(names)}: one is enough" if names else f"which messages? {listed}")
    return names[0].removeprefix("--")
