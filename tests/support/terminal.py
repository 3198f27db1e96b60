"""A command as at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping

from tests.support.waiting import eventually


class Terminal:
    """A command at a terminal of 60 columns."""

    def __init__(self, environment: Mapping[str, str], *command: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.popen = subprocess.Popen(
            command,
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._seen = bytearray()

    @property
    def seen(self) -> str:
        """All that was written so far, without colours."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._seen.extend(os.read(self._ours, 65_536))
        return re.sub(r"\x1b\[[0-9;]*m", "", self._seen.decode(errors="replace"))

    def type(self, text: str) -> None:
        """What a user types."""
        os.write(self._ours, text.encode())

    async def ends(self) -> int:
        """Wait for its end; returns the exit code."""
        await eventually(lambda: bool(self.seen) and self.popen.poll() is not None)
        code = self.popen.wait()
        assert "Traceback" not in self.seen
        return code

    def close(self) -> None:
        """End it, if it runs."""
        self.popen.kill()
        self.popen.wait()
        os.close(self._ours)
