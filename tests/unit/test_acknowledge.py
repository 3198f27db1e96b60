"""PUBACKs leave in the order received, whatever order the shards finish in."""

from __future__ import annotations

import random
from collections.abc import Sequence

from traksense_ingest.receiver.acknowledge import Acknowledgements
from traksense_ingest.receiver.message import Message


def message(ticket: int, qos: int = 1) -> Message:
    return Message(b"t", b"p", 0, 1000 + ticket if qos else 0, qos, ticket)


def mids_of(messages: Sequence[Message]) -> list[int]:
    return [message.mid for message in messages]


def test_a_message_waits_for_those_before_it() -> None:
    sent: list[list[int]] = []
    acknowledgements = Acknowledgements(lambda messages: sent.append(mids_of(messages)))
    acknowledgements.appended([message(2), message(1)])
    assert sent == []
    acknowledgements.appended([message(0), message(3)])
    acknowledgements.appended([message(5)])
    assert sent == [[1000, 1001, 1002, 1003]], "all that is due at once"


def test_qos_0_has_neither_a_place_nor_a_puback() -> None:
    sent: list[int] = []
    acknowledgements = Acknowledgements(lambda messages: sent.extend(mids_of(messages)))
    acknowledgements.appended([message(0, qos=0), message(0), message(1, qos=0)])
    acknowledgements.appended([message(1)])
    assert sent == [1000, 1001]


def test_any_interleaving_of_shards_gives_the_order_received() -> None:
    sent: list[int] = []
    acknowledgements = Acknowledgements(lambda messages: sent.extend(mids_of(messages)))
    messages = [message(ticket) for ticket in range(500)]
    shuffled = messages[:]
    random.Random(1).shuffle(shuffled)
    while shuffled:
        batch, shuffled = shuffled[:7], shuffled[7:]
        acknowledgements.appended(batch)
    assert sent == [message.mid for message in messages]
