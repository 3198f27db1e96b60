"""What the pipeline stands on – broker, Redis, database – and whether it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import aiomqtt
import asyncpg
from redis.exceptions import RedisError

from ops.advice import is_answer, said
from shared.config import redacted
from shared.database import NotMigrated
from shared.failure import is_hopeless

T = TypeVar("T")

_ERRORS = (
    aiomqtt.MqttError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
    NotMigrated,
    OSError,
    RedisError,
)


class State(Enum):
    """How a part answers."""

    UP = "up"
    AWAY = "away"  # nobody answers, or not in time
    REFUSED = "refused"  # it will not have us, or is not what we need: waiting doesn't help
    WRONG = "wrong"  # it answers, and what it says is not what it should
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Part:
    """One of the three, and what it said."""

    name: str
    address: str  # fit for a screen
    state: State = State.UP
    error: str = ""  # one line

    @property
    def is_bad(self) -> bool:
        return self.state not in (State.UP, State.SKIPPED)

    def as_dict(self) -> dict[str, str | None]:
        """For JSON."""
        return {"state": self.state.value, "address": self.address, "error": self.error or None}


@dataclass(frozen=True)
class Address:
    """A part's name, the variable that says where it is, and how long it has to answer, in seconds."""

    name: str
    variable: str
    url: str
    patience_s: float

    async def ask(self, question: Callable[[], Awaitable[T]]) -> tuple[Part, T | None]:
        """How it answered, and the answer where there is one."""
        try:
            async with asyncio.timeout(self.patience_s):
                return self._part(State.UP), await question()
        except TimeoutError:
            return self._part(State.AWAY, f"no answer within {self.patience_s:g} s; --timeout gives it longer"), None
        except _ERRORS as error:
            return self._refusal(error), None

    def answered(self) -> Part:
        """It did, the last time."""
        return self._part(State.UP)

    def skipped(self) -> Part:
        """It was not asked."""
        return self._part(State.SKIPPED)

    def _refusal(self, error: Exception) -> Part:
        text = said(self.variable, error)
        if isinstance(error, NotMigrated) or is_hopeless(error):
            return self._part(State.REFUSED, text)
        return self._part(State.WRONG if is_answer(error) else State.AWAY, text)

    def _part(self, state: State, error: str = "") -> Part:
        return Part(self.name, redacted(self.url), state, error)
