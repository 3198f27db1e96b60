"""A socket that gives and takes packets in pieces. `bench/packets.py` encodes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Pieces:
    """A socket that has some pieces to read, nothing between two of them, and takes what it is sent in portions."""

    def __init__(self, pieces: Iterable[bytes], split_by_size: Iterable[int] = ()) -> None:
        self.pieces = deque(pieces)
        self.sent = b""
        self.most = 0  # bytes that were read in one turn
        self._portions = deque(split_by_size)
        self._read = 0

    def recv(self, size: int) -> bytes:
        """Some bytes of the piece that is due; BlockingIOError at its end."""
        if not self.pieces:
            return b""
        data, rest = self.pieces[0][:size], self.pieces[0][size:]
        self.pieces[0] = rest
        if not data:
            raise BlockingIOError
        self._read += len(data)
        self.most = max(self.most, self._read)
        return data

    def turn(self) -> None:
        """The event loop's next turn: a piece that was read makes place for the next one."""
        self._read = 0
        if self.pieces and not self.pieces[0]:
            self.pieces.popleft()

    def send(self, data: bytes) -> int:
        """Take the portion that is due: 0 is none for now, all of it when no portions are left."""
        size = self._portions.popleft() if self._portions else len(data)
        if size == 0:
            raise BlockingIOError
        self.sent += bytes(data[:size])
        return len(data[:size])

    def close(self) -> None:
        """As a socket."""

    def fileno(self) -> int:
        """As a socket."""
        return -1
