"""What a part of the pipeline said instead of an answer, and what to do about it."""

from __future__ import annotations

import asyncpg
from redis.exceptions import ResponseError

from shared.config import redacted
from shared.failure import Kind, describe, is_hopeless, kind_of


def said(variable: str, error: BaseException) -> str:
    """`connection refused; start it, or mend DATABASE_URL`: one line."""
    text = describe(error).removesuffix(".")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return text  # what to do depends on what was tried
    if is_hopeless(error):
        return f"{text}; mend {variable}"
    return text if is_answer(error) else f"{text}; start it, or mend {variable}"


def is_answer(error: BaseException) -> bool:
    """Whether somebody was there to say so."""
    return isinstance(error, ResponseError) or kind_of(error) is not Kind.OUTAGE


def unanswered(variable: str, url: str, error: BaseException) -> str:
    """`DATABASE_URL=postgresql://…: ` and what was said."""
    return f"{variable}={redacted(url)}: {said(variable, error)}"
