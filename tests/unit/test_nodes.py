"""What a node of a Redis Cluster says of all of them."""

from __future__ import annotations

from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.streams.nodes import Node, parse_nodes

REPLY = """\
aaa :7001@17001 myself,master - 0 0 1 connected 0-5460 5462 [5461->-bbb]
bbb 10.0.0.2:7002@17002,n2.example,shard-id=x master - 0 1760000000000 2 connected 5461 5463-10922
ccc 10.0.0.3:7003@17003 master,fail - 1760000000000 1760000000000 3 disconnected
ddd 10.0.0.4:7004@17004,? slave aaa 0 1760000000000 1 connected
eee ::1:7005@17005 slave,fail? bbb 1760000000000 1760000000000 2 connected
fff 10.0.0.6:7006@17006 slave bbb 1760000000000 1760000000000 2 disconnected
ggg :0@0 master,noaddr - 0 0 0 disconnected
hhh 10.0.0.8:7008@17008 handshake - 0 0 0 connected
"""


def test_masters_replicas_and_who_is_unreachable() -> None:
    assert parse_nodes(REPLY, Host("n1", 9999)) == [
        Node("n1:7001", True, True, None, (range(5461), range(5462, 5463))),
        Node("n2.example:7002", True, True, None, (range(5461, 5462), range(5463, 10923))),
        Node("10.0.0.3:7003", True, False),
        Node("10.0.0.4:7004", False, True, "n1:7001"),
        Node("[::1]:7005", False, False, "n2.example:7002"),
        Node("10.0.0.6:7006", False, False, "n2.example:7002"),
    ]


def test_a_node_serves_its_slots() -> None:
    node = parse_nodes(REPLY, Host("n1", 9999))[0]
    assert [node.serves(slot) for slot in (0, 5460, 5461, 5462, 5463)] == [True, True, False, True, False]
