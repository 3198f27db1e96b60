"""The nodes of a Redis Cluster, as one of them sees the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traksense_ingest.shared.database_url import Host

_UNREACHABLE = frozenset({"fail", "fail?"})  # the majority of masters agrees; or the node that was asked alone
_UNKNOWN = frozenset({"handshake", "noaddr"})  # it is being added; or it was replaced at its address


@dataclass(frozen=True)
class Node:
    """A node, the slots that it serves, and of a replica its master."""

    address: str
    is_master: bool
    is_reachable: bool
    master: str | None = None
    slots: tuple[range, ...] = ()

    def serves(self, slot: int) -> bool:
        """Whether a slot is one of its own."""
        return any(slot in some for some in self.slots)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without the slots."""
        state = "up" if self.is_reachable else "unreachable"
        role = "master" if self.is_master else "replica"
        return {"address": self.address, "role": role, "master": self.master, "state": state}


def parse_nodes(reply: str, asked: Host) -> list[Node]:
    """What CLUSTER NODES says, without nodes that have no address.

    A line has: id, `ip:port@bus-port,host-name`, flags, the master's id, three figures, the state of the link, slots.
    """
    fields = [line.split() for line in reply.splitlines()]
    known = {each[0]: each for each in fields if not _UNKNOWN.intersection(each[2].split(","))}
    addresses = {id_: _address(each[1], asked) for id_, each in known.items()}
    return [_node(each, addresses) for each in known.values()]


def _node(fields: list[str], addresses: Mapping[str, str]) -> Node:
    id_, _, flags, master, _, _, _, link, *slots = fields
    states = flags.split(",")
    return Node(
        addresses[id_],
        "master" in states,
        link == "connected" and not _UNREACHABLE.intersection(states),
        addresses.get(master),
        tuple(_range(some) for some in slots if not some.startswith("[")),  # those that are being moved
    )


def _address(text: str, asked: Host) -> str:
    """A node that doesn't know its own address reports none: it is the one that was asked."""
    address, _, names = text.partition(",")
    ip, _, port = address.partition("@")[0].rpartition(":")
    name = names.partition(",")[0]
    return str(Host((name if name and name != "?" else ip) or asked.name, int(port)))


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
