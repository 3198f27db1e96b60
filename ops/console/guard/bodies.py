"""The size of what a browser sends: a form is held in memory until it is read."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

BODY_MAX = 8 * 1024 * 1024  # bytes: a mapping, and a payload that takes three characters for each of its bytes


def bounded(receive: Receive, most: int = BODY_MAX) -> Receive:
    """The same, until more than so many bytes have come: then it raises HTTPException with 413."""
    size = 0

    async def receive_bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"This form has more than {most // 1024**2} MiB.")
        return message

    return receive_bounded
