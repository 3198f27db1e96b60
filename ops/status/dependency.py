"""What the pipeline depends on – broker, Redis, database – and whether each of them answers."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from traksense_ingest.ops.advice import explain, is_answer
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.database import NotMigrated
from traksense_ingest.shared.failure import BROKER_ERRORS, DATABASE_ERRORS, REDIS_ERRORS, Unusable, is_permanent

T = TypeVar("T")

_ERRORS = (*BROKER_ERRORS, *REDIS_ERRORS, *DATABASE_ERRORS, NotMigrated, Unusable)


class State(Enum):
    """How a dependency answers."""

    UP = "up"
    UNREACHABLE = "unreachable"  # no answer, or not in time
    REFUSED = "refused"  # it rejects the connection, or can't be used as configured: waiting doesn't help
    WRONG = "wrong"  # it answers, but not as it should
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Dependency:
    """One of the three, and its answer."""

    name: str
    address: str  # without the password
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
    """A dependency's name, the variable with its address, and how long it may take to answer, in seconds."""

    name: str
    variable: str
    url: str
    patience_s: float

    async def ask(self, question: Callable[[], Awaitable[T]]) -> tuple[Dependency, T | None]:
        """How it answered, and the answer; None without one."""
        try:
            async with asyncio.timeout(self.patience_s):
                return self._dependency(State.UP), await question()
        except TimeoutError:
            late = f"no answer within {self.patience_s:g} s; --timeout gives it longer"
            return self._dependency(State.UNREACHABLE, late), None
        except _ERRORS as error:
            return self._refusal(error), None

    def answered(self) -> Dependency:
        """It answered the last time."""
        return self._dependency(State.UP)

    def skipped(self) -> Dependency:
        """It was not asked."""
        return self._dependency(State.SKIPPED)

    def wrong(self, error: str) -> Dependency:
        """It answered, but can't be used as it is."""
        return self._dependency(State.WRONG, error)

    def _refusal(self, error: Exception) -> Dependency:
        if isinstance(error, Unusable) and not error.is_final:
            return self.wrong(str(error))
        text = explain(self.variable, error)
        if isinstance(error, NotMigrated) or is_permanent(error):
            return self._dependency(State.REFUSED, text)
        return self._dependency(State.WRONG if is_answer(error) else State.UNREACHABLE, text)

    def _dependency(self, state: State, error: str = "") -> Dependency:
        return Dependency(self.name, redacted(self.url), state, error)


async def check_broker(settings: Settings, patience_s: float) -> None:
    """Connect to the broker and disconnect; raises what aiomqtt raises.

    The client id is random and the session ends with the connection: no receiver's session is touched.
    """
    client_id = f"status-{secrets.token_hex(6)}"  # no more than the 23 characters of MQTT 3.1
    client = mqtt.client(settings, client_id, timeout=patience_s, keepalive=math.ceil(patience_s))
    # paho connects in a thread, which keeps the program from ending. Its TLS handshake may take one keepalive.
    client.paho.connect_timeout = patience_s
    async with client:
        """The broker has accepted the connection."""
