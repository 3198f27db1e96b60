"""What a message is: its kind, the topic of version 1, traksense/{tenant}/{site}/{device}/{kind}, and the reasons for
which one is not stored; and what the messages of a device say of its status.

The grammar of those topics is here: the writer's `decode/topic.py`, a device's shard, checks and simulated devices use
it. Other topics belong to mappings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ROOT = "traksense"
KINDS = ("telem", "ack", "event", "state", "cmd")
ALL_FILTERS = tuple(f"{ROOT}/+/+/+/{kind}" for kind in KINDS)
FILTERS = ALL_FILTERS[:3]  # what MQTT_TOPICS is by default: telem, ack and event
NAME_MAX = 128  # characters of a tenant, a site or a device
POINT_NAME_MAX, UNIT_MAX = 256, 64  # characters of a point's name and of a unit
SHARED = "$share/"

# Classes that a dead letter's reason begins with.
POISON_REASONS = (
    "parse_error",
    "invalid_topic",
    "out_of_range",
    "payload_too_large",
    "data_error",
    "max_deliveries",
    "unknown_alias",
)
EMPTY, RETAINED, MAPPING = "empty", "retained", "mapping"
IGNORED_REASONS = (EMPTY, RETAINED, MAPPING)  # the second one is the receiver's, the others the writer's

DEVICE_STATUSES = ("online", "late", "silent", "offline")  # of the view device_status; offline by a state

_KINDS = frozenset(kind.encode() for kind in KINDS)
_WRONG_FILTER = re.compile(r"[^/][+#]|[+#][^/]|#.")


def topic_of(tenant: str, site: str, device: str, kind: str = "telem") -> str:
    """The topic of a device's messages."""
    return f"{ROOT}/{tenant}/{site}/{device}/{kind}"


def device_of(topic: bytes) -> bytes:
    """What identifies the device: tenant and name, at any site. The whole topic where it names none."""
    names = topic.split(b"/")
    return names[1] + b"/" + names[3] if len(names) == 5 else topic


def is_v1(topic: bytes) -> bool:
    """Whether a topic is one of version 1's, which no mapping shards in another way."""
    root, *names = topic.split(b"/")
    return root == ROOT.encode() and len(names) == 4 and names[3] in _KINDS


def is_filter(text: str) -> bool:
    """Whether it is a topic filter of MQTT, with `+` and `#` where they may be."""
    return bool(text) and "\0" not in text and _WRONG_FILTER.search(text) is None


def plain(filters: Sequence[str]) -> list[str]:
    """The filters without `$share/group/`."""
    return [re.sub(r"^\$share/[^/]*/", "", name) for name in filters]


def shared_by(filters: Sequence[str], group: str) -> list[str]:
    """The filters as a member of the group subscribes to them; as they are without a group."""
    return [f"{SHARED}{group}/{name}" if group else name for name in filters]
