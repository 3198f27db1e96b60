"""An empty payload removes a retained message: it is settled and counted, and nothing is stored."""

from __future__ import annotations

from tests.support.retained import retain
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import read_snapshot


async def test_an_empty_payload_is_settled_and_counted_and_nothing_else(stack: Stack) -> None:
    receiver, writer = await stack.receiver(), await stack.writer()
    await retain(stack, telem(second=1), (telem()[0], b""), ("traksense/no/such/topic", b""))
    await stack.append("traksense/t/s/dev/telem", b"", retained="1")
    await stack.has_rows("ts_measure", 1)
    await receiver.counts("ingest_received_messages_total", 2)
    await eventually(lambda: writer.metric("ingest_ignored_total", reason="empty", mapping="") == 2)
    assert await stack.count("ingest_errors") == 0
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.added, shard.stored, shard.dead_lettered, shard.ignored, shard.missing) == (3, 1, 0, 2, 0)
    await eventually(lambda: _copied(stack, 2), "the ledger's copy has it")
    status = await stack.status()
    assert status.returncode == 0, status.stdout
    assert "3 added = 1 stored + 0 dead-lettered + 2 ignored + 0 here" in status.stdout
    assert writer.metric("ingest_lost_entries") == 0


async def _copied(stack: Stack, ignored: int) -> bool:
    rows = await stack.fetch("SELECT ignored FROM stream_ledger")
    return [row["ignored"] for row in rows] == [ignored]


async def test_nothing_is_stored_or_given_up_for_what_is_blank_but_not_empty(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.append("traksense/t/s/dev/telem", b" ")
    await stack.append("traksense/t/s/dev/telem", b"")
    await stack.has_rows("ingest_errors", 1)
    await eventually(lambda: writer.metric("ingest_ignored_total", reason="empty", mapping="") == 1)


async def test_a_ledger_row_of_an_older_writer_is_no_loss(stack: Stack) -> None:
    """It copies what it knows of the ledger, without what was ignored."""
    writer = await stack.writer()
    await stack.append("traksense/t/s/dev/telem", b"")
    await eventually(lambda: _copied(stack, 1))
    await stack.execute("UPDATE stream_ledger SET ignored = 0")
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    await eventually(lambda: _copied(stack, 1))
    assert writer.metric("ingest_lost_entries") == 0
    assert LedgerRow(stream=key_of(0)).ignored == 0
