"""What a broker answers to SUBSCRIBE: granted, granted at a lower QoS, or refused and why."""

from __future__ import annotations

from collections.abc import Sequence

from paho.mqtt.reasoncodes import ReasonCode

from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import Unusable, is_final_refusal
from traksense_ingest.shared.messages import SHARED
from traksense_ingest.shared.mqtt_client import Allowed, reason_of

REFUSED = 0x80  # from here on a SUBACK's reason code is a refusal; the only one that MQTT 3.1.1 has
_ACCESS = frozenset({0x80, 0x83, 0x87})  # unspecified, implementation specific, not authorized


def is_shared(settings: Settings) -> bool:
    """Whether receivers with these settings subscribe in a group."""
    return bool(settings.mqtt_shared_group) or any(name.startswith(SHARED) for name in settings.mqtt_topics)


def require_allowed(allowed: Allowed, filters: Sequence[str]) -> None:
    """Raise Unusable for a kind of filter that CONNACK says the broker doesn't have: it would disconnect us for it."""
    shared = next((name for name in filters if name.startswith(SHARED)), None)
    wild = next((name for name in filters if {"+", "#"} & set(name)), None)
    if shared and not allowed.shared_subscriptions:
        raise Unusable(
            f"it says that it has no shared subscriptions, so {shared} would get nothing: unset MQTT_SHARED_GROUP",
            is_final=True,
        )
    if wild and not allowed.wildcards:
        raise Unusable(f"it says that it allows no wildcards in a subscription, as in {wild}", is_final=True)


def lowered(filters: Sequence[str], qos: int, codes: Sequence[ReasonCode | int]) -> list[str]:
    """The filters that a SUBACK grants at a lower QoS than asked for; raises Unusable for those that it refuses."""
    answers = list(zip(filters, codes, strict=False))  # some brokers answer with fewer codes than filters
    if refused := [(name, code) for name, code in answers if _value(code) >= REFUSED]:
        refusals = ", ".join(f"{name}: {_text(code)}" for name, code in refused)
        is_final = any(is_final_refusal(_value(code)) for _, code in refused)
        hint = "; see its access rules" if any(_value(code) in _ACCESS for _, code in refused) else ""
        raise Unusable(f"it refuses to subscribe to {refusals}{hint}", is_final=is_final)
    return [name for name, code in answers if _value(code) < qos]


def _value(code: ReasonCode | int) -> int:
    return code if isinstance(code, int) else int(code.value)


def _text(code: ReasonCode | int) -> str:
    return f"0x{code:02X}" if isinstance(code, int) else reason_of(code)
