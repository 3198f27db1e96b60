"""`simulate --format`: what the devices publish is what the mapping stores, exactly."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click import Option

from traksense_ingest.ops.mapping.draft.samples import words
from traksense_ingest.ops.mapping.engine import Engine
from traksense_ingest.ops.mapping.library import names, spec_of, variables
from traksense_ingest.ops.mapping.rows import key_of, rows_of
from traksense_ingest.ops.simulate.command import format_names, simulate
from traksense_ingest.ops.simulate.fleet import Plan, fleet
from traksense_ingest.ops.simulate.formats import examples, simulated
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.load import LIBRARY, load
from traksense_ingest.writer.outcome import Decoded, Rejected

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIMULATED = words("chirpstack geojson je02 khomp milesight owntracks parsec shelly tasmota ttn zigbee2mqtt")


def plan(*formats: str, bad: float = 0.0) -> Plan:
    found = examples(formats, "fleet", SETTINGS, with_bad=bad > 0)
    return Plan(START, seed=7, devices=4, rate=50.0, messages=60, tenants=("fleet",), bad=bad, examples=found)


def engine(*formats: str) -> Engine:
    specs = [spec_of(name, variables((LIBRARY / f"{name}.yaml").read_text()), "fleet") for name in formats]
    return Engine(load(",".join(specs)), SETTINGS)


@pytest.mark.parametrize("name", SIMULATED)
def test_every_row_is_one_of_its_own_and_counted(name: str) -> None:
    decoder, rows = engine(name), Counter[object]()
    messages = list(fleet(plan(name)))
    for message in messages:
        outcome = decoder.decode(Message(message.topic, message.payload, message.ts))
        assert isinstance(outcome, Decoded), outcome
        found = rows_of(outcome)
        assert len(found) == message.points
        assert {(row["tenant"], datetime.fromisoformat(row["ts"])) for row in found} == {("fleet", message.ts)}
        rows.update(map(key_of, found))
    assert rows.total() == len(rows) == sum(message.points for message in messages)
    assert len({row[2] for row in rows}) == 4, "a device of its own each"  # type: ignore[index]
    assert len({(message.topic, message.payload) for message in messages}) == len(messages)


def test_help_lists_the_formats_that_can_be_simulated() -> None:
    (text,) = [
        parameter.help or ""
        for parameter in simulate.params
        if isinstance(parameter, Option) and parameter.name == "formats"
    ]
    assert text.partition(": ")[2].rstrip(".").replace(" or ", ", ").split(", ") == [*SIMULATED]


@pytest.mark.parametrize(("name", "at"), [("chirpstack", ("fCnt",)), ("ttn", ("uplink_message", "f_cnt"))])
def test_frames_are_counted_by_each_device(name: str, at: tuple[str, ...]) -> None:
    counts: dict[int, list[int]] = {}
    for message in fleet(plan(name)):
        value = json.loads(message.payload)
        for key in at:
            value = value[key]
        counts.setdefault(message.device, []).append(value)
    for found in counts.values():
        assert found == list(range(found[0], found[0] + 15))


def test_each_device_has_a_name_of_its_own() -> None:
    messages = [json.loads(message.payload)["deviceInfo"] for message in fleet(plan("chirpstack"))]
    names = {(info["devEui"], info["deviceName"]) for info in messages}
    assert len(names) == len({name for _, name in names}) == 4
    assert {name.rpartition("-")[0] for _, name in names} == {"freezer-12"}


def test_the_same_plan_gives_the_same_messages() -> None:
    assert list(fleet(plan("khomp"))) == list(fleet(plan("khomp")))
    assert list(fleet(plan("khomp"))) != list(fleet(replace(plan("khomp"), seed=8)))


def test_formats_take_turns_and_each_has_its_tenant() -> None:
    both = replace(plan("khomp", "chirpstack"), tenants=("a", "b"))
    topics = {message.topic.partition("/")[0] for message in fleet(both)}
    assert topics == {"tenants", "application"}
    assert set(both.owners) == {"a", "b", "fleet"}, "a topic's tenant, or the one that the mapping sets"


def test_bad_messages_are_rejected_and_nothing_else_is() -> None:
    decoder = engine("khomp")
    for message in fleet(plan("khomp", bad=0.3)):
        outcome = decoder.decode(Message(message.topic, message.payload, message.ts))
        assert isinstance(outcome, Rejected) == (message.fault is not None)
        if isinstance(outcome, Rejected):
            assert (outcome.error_class, outcome.tenant_id) == (message.error_class, "fleet")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "khom",
            "--format: the library has no mapping 'khom'; did you mean khomp? Those that can be simulated: "
            + ", ".join(SIMULATED),
        ),
        ("zzz", "--format: the library has no mapping 'zzz'; those that can be simulated: chirpstack, "),
        ("sparkplug", "--format: sparkplug can't be simulated: its example isn't JSON"),
        ("emqx-envelope", "--format: emqx-envelope can't be simulated: its messages are those of other mappings"),
        ("homie", "--format: homie can't be simulated: its example has no time of its own"),
    ],
)
def test_a_format_that_can_not_be_simulated_is_one_line(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        examples([name], "fleet", SETTINGS, with_bad=False)
    assert str(error.value).startswith(said)


def test_bad_messages_need_a_tenant_to_be_counted_by() -> None:
    with pytest.raises(ConfigurationError, match="--bad: not with chirpstack"):
        examples(["chirpstack"], "fleet", SETTINGS, with_bad=True)


def test_up_simulates_the_formats_that_are_used() -> None:
    used = "khomp,homie?tenant=fleet,chirpstack?tenant=acme"
    settings = Settings(_env_file=None, ingest_mappings=used)  # type: ignore[call-arg]
    assert simulated(settings, "fleet") == ["khomp", "chirpstack"]
    (chirpstack,) = examples(["chirpstack"], "fleet", settings, with_bad=False)
    assert chirpstack.tenant_of("fleet") == "acme"


def test_names_are_separated_by_commas() -> None:
    assert format_names(None, None, " khomp, ttn,,khomp") == ("khomp", "ttn")  # type: ignore[arg-type]
    assert format_names(None, None, None) == ()  # type: ignore[arg-type]
    assert {*SIMULATED} <= {*names()}
