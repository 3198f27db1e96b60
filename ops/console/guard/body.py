"""The body of a request: limits of its size and of the time in which it arrives."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

BODY_MAX = 16 * 1024 * 1024  # bytes: a mapping file and a payload of 2 MiB each, with every byte as %XX
LOGIN_MAX = 16 * 1024  # of a user who is not logged in
BODY_S = 20.0


def bounded(receive: Receive, limit: int) -> Receive:
    """`receive`, which raises HTTPException: 413 for a body above `limit` bytes, 408 for one that takes longer than
    BODY_S. After the body there is no limit: the next message is the disconnect of the browser."""
    size, is_complete = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_S

    async def receive_bounded() -> Message:
        nonlocal size, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The request did not arrive in time.") from None
        size += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if size > limit:
            raise HTTPException(413, f"A request may have at most {limit // 1024} KiB.")
        return message

    return receive_bounded
