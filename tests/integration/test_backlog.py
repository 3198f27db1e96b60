"""What both services say of the streams' lengths."""

from __future__ import annotations

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually


async def says(process: Process, *figures: float) -> None:
    """Wait until it has these: of all streams, of the longest one, and the cap."""
    await eventually(lambda: _figures(process) == figures, lambda: f"{figures}, not {_figures(process)}")


def _figures(process: Process) -> tuple[float, ...]:
    names = ("ingest_queue_size", "ingest_longest_stream_size", "ingest_queue_max")
    return tuple(process.metric(name) for name in names)


async def test_all_streams_the_longest_and_the_cap(stack: Stack) -> None:
    variables = {"INGEST_SHARDS": 3, "INGEST_QUEUE_MAX": 70}
    services = [await stack.receiver(**variables), await stack.writer(**variables)]
    async with stack.locked("ts_measure"):
        for shard, count in ((0, 5), (2, 3)):
            for second in range(count):
                await stack.append(*telem(device=f"dev{shard}", second=second), shard=shard)
        for service in services:
            await says(service, 8, 5, 70)
    for service in services:
        await says(service, 0, 0, 70)
