"""Wrong passwords: how many there may be, and how many passwords are checked at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

WITHIN_S = 600.0
NAME_MAX, ADDRESS_MAX = 10, 30  # wrong passwords within that time; then none is checked
KEYS_MAX = (
    10_000  # names and addresses that are remembered; the ones without a wrong password for longest are forgotten
)
AT_ONCE = 2  # each takes 32 MiB and most of a core for some 80 ms
WAITING_MAX = 20


class TooMany(Exception):
    """The password is not checked; `seconds` is when to try again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Attempts:
    """Counts wrong passwords, by name and by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._checking = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def checking(self, name: str, address: str) -> AsyncIterator[None]:
        """Around the check of a password. Raises TooMany."""
        self._require_few(name, address)
        if self._waiting >= WAITING_MAX:
            raise TooMany(1)
        self._waiting += 1
        try:
            async with self._checking:
                self._require_few(name, address)  # earlier ones in the queue may have been wrong
                yield
        finally:
            self._waiting -= 1

    def count_wrong(self, name: str, address: str) -> None:
        """Count a wrong password."""
        for key in (("name", name), ("address", address)):
            self._wrong[key] = [*self._recent(key), self._clock()]
            self._wrong.move_to_end(key)
        while len(self._wrong) > KEYS_MAX:
            self._wrong.popitem(last=False)

    def forget(self, name: str) -> None:
        """After the right password: the name has no wrong ones any more."""
        self._wrong.pop(("name", name), None)

    def _require_few(self, name: str, address: str) -> None:
        for key, most in ((("name", name), NAME_MAX), (("address", address), ADDRESS_MAX)):
            if len(recent := self._recent(key)) >= most:
                raise TooMany(recent[-most] + WITHIN_S - self._clock())

    def _recent(self, key: tuple[str, str]) -> list[float]:
        since = self._clock() - WITHIN_S
        return [at for at in self._wrong.get(key, ()) if at > since]
