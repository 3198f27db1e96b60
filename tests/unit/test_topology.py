"""What nodes of a cluster say of the slots."""

from __future__ import annotations

from typing import Any

import pytest

from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.failure import Unsupported
from traksense_ingest.shared.streams.topology import Cluster, NoMaster, _parsed

ASKED = Host("n1", 7000)


def test_a_node_without_an_address_is_the_one_that_was_asked() -> None:
    reply = [[0, 99, [b"", 7000, b"id"]], [100, 16383, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.3", 7002, b"id"]]]
    assert _parsed(reply, ASKED) == [(0, 99, ASKED), (100, 16383, Host("10.0.0.2", 7001))]


def test_a_node_without_the_host_name_that_it_should_have() -> None:
    with pytest.raises(Unsupported, match="cluster-announce-hostname"):
        _parsed([[0, 16383, [b"?", 7000, b"id"]]], ASKED)


async def test_an_error_serves_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Host] = []

    async def ask(_self: Cluster, host: Host, _question: Any) -> None:
        asked.append(host)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(Cluster, "_ask", ask)
    cluster = Cluster([ASKED], object, {})
    for _ in range(3):
        with pytest.raises(NoMaster, match="n1:7000: refused"):
            await cluster.locate(0)
    assert asked == [ASKED] * 2, "whether it is well, and what it knows all the same"
