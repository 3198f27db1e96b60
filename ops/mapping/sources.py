"""Where messages come from: the command line, the DLQ, the streams, a file, or the broker. All of it is only read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from redis.exceptions import RedisError

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.database import each_row
from traksense_ingest.ops.dlq.dead_letter import Selection, dead_letter_from
from traksense_ingest.ops.dlq.table import LETTERS, open_table
from traksense_ingest.ops.mapping.listen import listen_until_interrupted, now
from traksense_ingest.ops.mapping.messages import bytes_of, read_capture
from traksense_ingest.ops.mapping.options import Given
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.filters import uncovered
from traksense_ingest.shared.streams import client as stream_client
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.writer.entry import Entry, parse_entry

AT_ONCE = 100  # dead letters that are in memory


@dataclass(frozen=True, slots=True)
class Source:
    """The options that say which messages; exactly one of them is set."""

    given: Given
    letter: int | None = None  # the id of a dead letter
    letters: Selection | None = None
    stream: int | None = None  # so many of the newest entries
    live: float | None = None  # s
    capture: Path | None = None
    filters: Sequence[str] = ()  # to listen to

    @property
    def is_one(self) -> bool:
        """Whether it is a single message."""
        return self.given.has_payload or self.letter is not None

    async def messages(self, settings: Settings, filters: Sequence[str]) -> AsyncGenerator[Message, None]:
        """Read them; `filters` are what is listened to unless a topic is given. Raises IngestError."""
        async with aclosing(self._messages(settings, filters)) as found:
            async for message in found:
                yield message

    def _messages(self, settings: Settings, filters: Sequence[str]) -> AsyncGenerator[Message, None]:
        if self.live is not None:
            topic = [self.given.topic] if self.given.topic else None
            return listen_until_interrupted(settings, uncovered(topic or self.filters or filters), self.live)
        if self.capture is not None:
            return _listed(read_capture(self.capture))
        if self.letter is not None:
            return _letter(settings, self.letter)
        if self.letters is not None:
            return _letters(settings, self.letters)
        return _entries(settings, self.stream) if self.stream is not None else _listed([message_of(self.given)])


async def _listed(messages: Any) -> AsyncGenerator[Message, None]:
    for message in messages:
        yield message


def message_of(given: Given) -> Message:
    """The message of the command line; raises UsageError."""
    if given.topic is None:
        raise click.UsageError("--topic is missing: the topic decides which route takes a message")
    return Message(given.topic, _payload(given), given.received or now(), given.retained)


def _payload(given: Given) -> bytes:
    if given.hexadecimal is not None:
        try:
            return bytes_of(given.hexadecimal)
        except ValueError as error:
            raise click.UsageError(f"--hex: {error}") from None
    if given.payload_file is not None:
        try:
            return given.payload_file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{given.payload_file}: can't be read: {error.strerror}") from None
    return (given.payload or "").encode(errors="surrogateescape")


async def _letter(settings: Settings, id_: int) -> AsyncGenerator[Message, None]:
    message = await message_of_letter(settings, id_)
    if message is None:
        raise IngestError(f"{id_}: there is no such dead letter; `traksense-ingest dlq list` has the ids")
    yield message


async def message_of_letter(settings: Settings, id_: int) -> Message | None:
    """The message of a dead letter; None if there is none of this id. Raises IngestError."""
    async with open_table(settings.database_url) as connection:
        row = await connection.fetchrow(LETTERS, *Selection(ids=(id_,)).arguments)
        return None if row is None else _message_of(row)


async def _letters(settings: Settings, selection: Selection) -> AsyncGenerator[Message, None]:
    async with (
        open_table(settings.database_url) as connection,
        in_transaction(connection, readonly=True),
    ):
        async for row in each_row(connection, LETTERS, *selection.arguments, at_once=AT_ONCE):
            yield _message_of(row)


def _message_of(row: Any) -> Message:
    letter = dead_letter_from(row)
    return Message(letter.topic, letter.payload, letter.received_at or letter.ts)


async def _entries(settings: Settings, number: int) -> AsyncGenerator[Message, None]:
    """With XREVRANGE, which changes no group."""
    clients, found = stream_client.connect(settings.redis_url), []
    try:
        for shard in range(settings.ingest_shards):
            key = key_of(shard)
            entries: Any = await clients.of(key).xrevrange(key, count=number)
            found += [_entry(key, *each) for each in entries]
    except (RedisError, OSError) as error:
        raise ingest_error("REDIS_URL", settings.redis_url, error) from error
    finally:
        await clients.aclose()
    for entry in sorted(found, key=lambda entry: entry.appended_at)[-number:]:
        topic = (entry.topic or b"").decode(errors="surrogateescape")
        yield Message(topic, entry.payload or b"", entry.received_at, entry.retained)


def _entry(key: str, id_: bytes, fields: dict[bytes, bytes]) -> Entry:
    return parse_entry(key, id_, [part for pair in fields.items() for part in pair])
