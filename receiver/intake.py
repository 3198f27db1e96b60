"""The messages of one connection to the broker, from their arrival to the streams and to their PUBACKs.

It may outlive its connection. A broker that was killed has lost what it had not saved, and what a receiver holds may be
the only copy: so that is appended all the same. If the broker sends it again, it is stored once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from traksense_ingest.receiver.acknowledge import Acknowledgements, Puback
from traksense_ingest.receiver.append import Appender
from traksense_ingest.receiver.forward import Choose, forward
from traksense_ingest.receiver.inbox import Inbox
from traksense_ingest.receiver.message import Message
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.streams.sharding import Sharding

HELD_BYTES = 64 * 1024 * 1024  # of messages that lost connections have left


class Intake:
    """An inbox for each shard, and the task that forwards it."""

    def __init__(
        self, appenders: Sequence[Appender], sharding: Sharding, choose: Choose, metrics: ReceiverMetrics
    ) -> None:
        self._appenders = appenders
        self._sharding = sharding
        self._choose = choose
        self._metrics = metrics
        self.received = 0  # messages
        self._inboxes = [Inbox() for _ in appenders]
        self._acknowledgements: Acknowledgements | None = None
        self._forwarders: list[asyncio.Task[None]] = []

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages, in the order received."""
        self.received += len(messages)
        self._metrics.received.inc(len(messages))
        for shard, some in by_shard(messages, self._sharding).items():
            self._metrics.dropped.inc(self._inboxes[shard].put(some))

    def start(self, tasks: asyncio.TaskGroup, puback: Puback) -> None:
        """Forward what comes, in tasks of this group, and acknowledge it by `puback`."""
        self._acknowledgements = Acknowledgements(puback)
        for inbox, appender in zip(self._inboxes, self._appenders, strict=True):
            forwarding = forward(inbox, appender, self._acknowledgements, self._choose)
            self._forwarders.append(tasks.create_task(forwarding, name="forward"))

    def connection_lost(self, left: list[Intake]) -> None:
        """Nothing more comes, and nothing can be acknowledged; what has come is still appended, and this intake joins
        those that lost connections have `left`.

        Not appended is what waits behind more than HELD_BYTES of that, for an unreachable Redis or for room: a broker
        that runs sends the same again after each loss.
        """
        if self._acknowledgements:
            self._acknowledgements.connection_lost()
        left[:] = [intake for intake in left if not intake.is_done]
        is_too_much = left and self.size + sum(intake.size for intake in left) > HELD_BYTES
        for shard, inbox in enumerate(self._inboxes):
            if is_too_much and any(intake.is_at_work_on(shard) for intake in left):
                self._forwarders[shard].cancel()  # it waits for its turn, and is appending nothing
            else:
                inbox.complete()
        left.append(self)

    async def close(self) -> None:
        """Finish what is being appended, and leave the rest unacknowledged."""
        for inbox in self._inboxes:
            inbox.close()
        if self._forwarders:
            await asyncio.wait(self._forwarders)

    @property
    def is_idle(self) -> bool:
        """Whether all that came is appended and acknowledged, also what came by the connections before."""
        return all(inbox.is_awaited for inbox in self._inboxes)

    @property
    def size(self) -> int:
        """About how many bytes of memory its messages take that wait."""
        return sum(inbox.size for inbox in self._inboxes)

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is left to append."""
        return all(forwarder.done() for forwarder in self._forwarders)

    def is_at_work_on(self, shard: int) -> bool:
        """Whether something of a shard is left to append."""
        return not self._forwarders[shard].done()


def by_shard(messages: Sequence[Message], sharding: Sharding) -> dict[int, Sequence[Message]]:
    """The messages of each shard, in their order."""
    if sharding.shards == 1:
        return {0: messages}
    found: dict[int, list[Message]] = {}
    for message in messages:
        found.setdefault(sharding.shard_of(message.topic), []).append(message)
    return dict(found)
