"""What a SUBACK and a CONNACK say of topic filters."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from traksense_ingest.shared.failure import Kind, Unusable, is_permanent, kind_of
from traksense_ingest.shared.messages import plain, shared_by
from traksense_ingest.shared.mqtt_client import Allowed
from traksense_ingest.shared.subscription import lowered, require_allowed


def code(value: int) -> ReasonCode:
    return ReasonCode(PacketTypes.SUBACK, identifier=value)


def test_what_is_granted_at_a_lower_qos_is_named() -> None:
    assert lowered(["a", "b"], 1, [code(1), code(0)]) == ["b"]
    assert lowered(["a", "b"], 0, [code(0), code(0)]) == []
    assert lowered(["a", "b"], 1, [code(1)]) == [], "some brokers answer with fewer codes than filters"


@pytest.mark.parametrize(
    ("value", "is_final", "said"),
    [
        (0x80, False, "it refuses to subscribe to b: Unspecified error (0x80); see its access rules"),
        (0x87, True, "it refuses to subscribe to b: Not authorized (0x87); see its access rules"),
        (0x8F, True, "it refuses to subscribe to b: Topic filter invalid (0x8F)"),
        (0x91, False, "it refuses to subscribe to b: Packet identifier in use (0x91)"),
        (0x97, False, "it refuses to subscribe to b: Quota exceeded (0x97)"),
    ],
)
def test_a_refusal_names_the_filter_and_is_an_outage(value: int, is_final: bool, said: str) -> None:
    with pytest.raises(Unusable) as raised:
        lowered(["a", "b"], 1, [code(1), code(value)])
    assert str(raised.value) == said
    assert (kind_of(raised.value), is_permanent(raised.value)) == (Kind.OUTAGE, is_final)


def test_what_connack_rules_out_is_not_asked_for() -> None:
    require_allowed(Allowed(), ["$share/g/a/#", "b/+"])
    with pytest.raises(Unusable, match="unset MQTT_SHARED_GROUP"):
        require_allowed(Allowed(shared_subscriptions=False), ["b", "$share/g/a"])
    with pytest.raises(Unusable, match="as in b/\\+"):
        require_allowed(Allowed(wildcards=False), ["a", "b/+"])


def test_filters_with_and_without_a_group() -> None:
    assert shared_by(["a", "b/#"], "g") == ["$share/g/a", "$share/g/b/#"]
    assert shared_by(["a"], "") == ["a"]
    assert plain(["$share/g/a/#", "b"]) == ["a/#", "b"]
