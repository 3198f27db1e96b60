"""A task that runs for as long as a block."""

from __future__ import annotations

import asyncio

import pytest

from traksense_ingest.shared.runtime.tasks import in_background


async def test_it_has_ended_when_the_block_has() -> None:
    said = list[str]()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            said.append("ended")

    async with in_background(work(), "work"):
        await begun.wait()
        assert not said
    assert said == ["ended"]
    assert "work" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_what_it_raised_is_raised() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        ended.set()
        raise ValueError("a bug")

    async def block() -> None:
        async with in_background(work(), "work"):
            await ended.wait()

    with pytest.raises(ValueError, match="a bug"):
        await block()
