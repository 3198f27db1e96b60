"""The nodes of a Redis Cluster on the screen: each master with its replicas and shards, and what is unreachable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from redis.crc import key_slot
from rich.console import RenderableType
from rich.text import Text

from traksense_ingest.ops.terminal import printable, safe_name, table_with_notes
from traksense_ingest.shared.listing import listed
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.nodes import Node

MASTERS_MAX = 12  # lines; --json has all of them
UNREACHABLE_MAX = 8  # as above
SHARDS_MAX = 8  # in a line


def shards_on(node: Node, shards: Iterable[int]) -> list[int]:
    """Those of the shards whose slots a node serves."""
    return [shard for shard in shards if node.serves(key_slot(key_of(shard).encode()))]


def as_json(nodes: Sequence[Node], shards: Sequence[int]) -> list[dict[str, Any]]:
    """Each node, with its shards."""
    return [{**node.as_dict(), "shards": shards_on(node, shards)} for node in nodes]


def node_lines(nodes: Sequence[Node], shards: Sequence[int], width: int) -> list[RenderableType]:
    """A table of the masters that serve slots, those with an unreachable node first if there are many; and a line for
    each unreachable node that has none there."""
    masters = [node for node in nodes if node.is_master and node.slots]
    if len(masters) > MASTERS_MAX:
        masters.sort(key=lambda master: _is_whole(master, nodes))
    made = table_with_notes(width, "master", "state", "replicas")
    for master in masters[:MASTERS_MAX]:
        style = "red" if not master.is_reachable else "" if _is_whole(master, nodes) else "yellow"
        figures = _state(master), _replicas(master, nodes), _listed(shards_on(master, shards))
        made.add_row(safe_name(master.address), *figures, style=style)
    rest = [Text(f"and {len(masters) - MASTERS_MAX} more masters")] if len(masters) > MASTERS_MAX else []
    return [made, *rest, *_others(nodes)]


def line_count(nodes: Sequence[Node]) -> int:
    """How many lines that takes, if none is folded."""
    masters = sum(node.is_master and bool(node.slots) for node in nodes)
    return 1 + min(masters, MASTERS_MAX + 1) + len([*_others(nodes)])


def _others(nodes: Sequence[Node]) -> Iterator[Text]:
    found = [node for node in nodes if not node.is_reachable and not (node.is_master and node.slots)]
    for node in found[:UNREACHABLE_MAX]:
        role = f"replica of {printable(node.master or '?')}" if not node.is_master else "master without slots"
        yield Text(f"{printable(node.address)}, a {role}, is unreachable", style="red")
    if len(found) > UNREACHABLE_MAX:
        yield Text(f"and {len(found) - UNREACHABLE_MAX} more nodes are unreachable", style="red")


def _state(node: Node) -> str:
    return "up" if node.is_reachable else "unreachable"


def _of(master: Node, nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.master == master.address]


def _is_whole(master: Node, nodes: Sequence[Node]) -> bool:
    return all(node.is_reachable for node in (master, *_of(master, nodes)))


def _replicas(master: Node, nodes: Sequence[Node]) -> str:
    replicas = _of(master, nodes)
    up = sum(replica.is_reachable for replica in replicas)
    return str(up) if up == len(replicas) else f"{up} of {len(replicas)}"


def _listed(shards: Sequence[int]) -> str:
    return f"shard{'s' * (len(shards) != 1)} {listed(shards, SHARDS_MAX)}" if shards else "no shards"
