"""Sessions, kept in the memory of the console: the browser has a random number. They end with the process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from traksense_ingest.ops.console.guard.roles import Role

COOKIE = "traksense_console"
IDLE_S = 12 * 3600.0  # without a request
LONGEST_S = 7 * 86_400.0
SESSIONS_MAX = 1000  # the one that was used least recently ends


@dataclass
class Session:
    """A browser that is logged in."""

    user: str
    role: Role
    started: float  # by a monotonic clock
    used: float
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))  # which each of its POSTs must have


class Sessions:
    """All sessions, and the token of the link, which can be used once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._token: str | None = None

    def start(self, user: str, role: Role) -> str:
        """Start a session; returns the value of its cookie."""
        now, key = self._clock(), secrets.token_urlsafe(32)
        self._sessions[key] = Session(user, role, now, now)
        while len(self._sessions) > SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda each: self._sessions[each].used)]
        return key

    def of(self, key: str | None) -> Session | None:
        """The session of a cookie's value, if it has not ended."""
        session = self._sessions.get(key or "")
        if session is None:
            return None
        now = self._clock()
        if now - session.used > IDLE_S or now - session.started > LONGEST_S:
            self.end(key)
            return None
        session.used = now
        return session

    def end(self, key: str | None) -> None:
        """End a session: its cookie is not valid any more."""
        self._sessions.pop(key or "", None)

    def one_time_token(self) -> str:
        """A new token for a link; the previous one is not valid any more."""
        self._token = secrets.token_urlsafe(16)  # 128 bits, and a link that fits 60 columns
        return self._token

    def take(self, token: str) -> bool:
        """Whether this is the token, which is then used up."""
        if self._token is None or not secrets.compare_digest(token.encode(), self._token.encode()):
            return False
        self._token = None
        return True
