"""Commands of the simulated backend: each has its ACK a moment later, and as many rows as the tally says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

import pytest

from tests.unit.test_simulate_fleet import PLAN, START, decoded
from traksense_ingest.ops.simulate import backend
from traksense_ingest.ops.simulate.backend import COMMAND_SHARE, TAKES_S
from traksense_ingest.ops.simulate.fleet import Fleet, Plan, fleet
from traksense_ingest.ops.simulate.messages import Message
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.ops.simulate.run import is_subscribed
from traksense_ingest.shared import config
from traksense_ingest.shared.messages import ALL_FILTERS
from traksense_ingest.writer.outcome import AckRow, CommandRow

COMMANDED = replace(PLAN, commands=True, messages=5000)


def commands_and_acks(messages: list[Message]) -> tuple[dict[str, Message], dict[str, list[Message]]]:
    commands, acks = {}, dict[str, list[Message]]()
    for message in messages:
        if message.kind == "cmd" and message.cmd_id:
            commands[message.cmd_id] = message
        if message.kind == "ack" and message.cmd_id:
            acks.setdefault(message.cmd_id, []).append(message)
    return commands, acks


@pytest.mark.parametrize("plan", [COMMANDED, replace(COMMANDED, bad=0.1), replace(COMMANDED, devices=100, rate=200.0)])
def test_each_command_is_acknowledged_by_its_device(plan: Plan) -> None:
    sent = list(fleet(plan))
    commands, acks = commands_and_acks(sent)
    assert len(sent) == plan.messages, "commands and ACKs are among the messages"
    assert [message.ts for message in sent] == [START + timedelta(seconds=plan.due(i)) for i in range(len(sent))]
    assert commands.keys() == acks.keys()
    assert 0.5 * COMMAND_SHARE < len(commands) / len(sent) < 1.5 * COMMAND_SHARE
    for cmd_id, command in commands.items():
        first, *repeated = acks[cmd_id]
        assert first.topic == command.topic.removesuffix("cmd") + "ack"
        assert first.ts > command.ts
        assert len(repeated) <= 1
    assert sum(len(each) for each in acks.values()) > len(acks), "some are repeated"


def test_the_writer_stores_a_command_and_its_ack_as_the_tally_says() -> None:
    tally = Tally()
    keys: dict[type, set[tuple[str, str, str]]] = {AckRow: set(), CommandRow: set()}
    for message in fleet(COMMANDED):
        tally.add(message)
        (row,) = decoded(message).rows
        if isinstance(row, AckRow | CommandRow):
            keys[type(row)].add(row[:3])
    rows = tally.rows()
    assert rows["command"] == rows["cmd_ack"] == len(keys[CommandRow]) > 0
    assert keys[AckRow] == keys[CommandRow]


def test_a_device_takes_a_moment() -> None:
    commands, acks = commands_and_acks(list(fleet(COMMANDED)))
    turn = timedelta(seconds=1 / COMMANDED.rate)
    took = [acks[cmd_id][0].ts - command.ts for cmd_id, command in commands.items()]
    shortest, longest = (timedelta(seconds=seconds) for seconds in TAKES_S)
    assert shortest <= min(took)
    assert sorted(took)[len(took) * 9 // 10] <= longest + turn, "two may be due at once"


@pytest.mark.parametrize("messages", [1, 2, 3, 50, 200])
def test_no_command_waits_for_its_ack_when_a_short_run_ends(messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "COMMAND_SHARE", 0.5)
    for seed in range(20):
        plan = replace(COMMANDED, seed=seed, rate=10_000.0, messages=messages)
        commands, acks = commands_and_acks(list(fleet(plan)))
        assert commands.keys() == acks.keys()


def test_a_run_that_is_ended_has_acks_left_to_send() -> None:
    for length in range(1, 400, 9):
        plan = replace(COMMANDED, rate=1000.0, messages=None)
        devices = Fleet(plan)
        sent = devices.messages(START)
        published = list(islice(sent, length))
        next(sent)  # the one that was not published any more
        commands, acks = commands_and_acks([*published, *devices.unanswered()])
        assert commands.keys() == acks.keys()


def test_a_share_of_commands_without_an_ack() -> None:
    commands, acks = commands_and_acks(list(fleet(replace(COMMANDED, unanswered=0.3))))
    assert 0.5 * len(commands) < len(acks) < 0.9 * len(commands)
    assert acks.keys() < commands.keys()
    assert not commands_and_acks(list(fleet(replace(COMMANDED, unanswered=1.0))))[1]


def test_the_same_plan_gives_the_same_commands() -> None:
    assert list(fleet(COMMANDED)) == list(fleet(COMMANDED))


@pytest.mark.parametrize(
    ("topics", "kinds"),
    [
        (None, set()),
        (",".join(ALL_FILTERS), {"state", "cmd"}),
        ("$share/g/traksense/#", {"state", "cmd"}),
        ("traksense/a/+/+/cmd,traksense/b/+/+/cmd,traksense/a/+/+/state", {"cmd"}),
    ],
)
def test_what_receivers_do_not_subscribe_to_is_not_sent(topics: str | None, kinds: set[str]) -> None:
    settings = config.load(**({"mqtt_topics": topics} if topics else {}))
    assert {kind for kind in ("state", "cmd") if is_subscribed(settings, ("a", "b"), kind)} == kinds


def test_states_are_counted_beside_the_messages() -> None:
    tally, (device, *_) = Tally(), Fleet(PLAN).devices
    later: datetime = START + timedelta(minutes=1)
    for state, ts in (("online", START), ("offline", later)):
        message = device.state(ts, state)
        assert message.retain
        assert decoded(message).kind == "state"
        tally.add(message)
    assert (tally.states, tally.published, tally.rows()["device_event"]) == (2, 0, 2)
    assert (tally.first, tally.last) == (START, later)
