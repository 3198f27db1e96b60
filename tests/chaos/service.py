"""A receiver or a writer of the pipeline under test: a process after another."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.process import Process


class EndedByItself(Exception):
    """A service did; the message names it and quotes its log."""


@dataclass
class Service:
    """A receiver or a writer that is started again as often as it takes, with the same environment."""

    kind: str
    environment: dict[str, str]
    directory: Path
    process: Process = field(init=False)
    is_frozen: bool = False
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """A new process."""
        self.process = Process(self.kind, self.environment, self.directory)
        self.logs.append(self.process.log_path)

    async def kill(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self.process.kill)

    def freeze(self) -> None:
        """It stops where it is, and answers nothing."""
        self.process.signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """It goes on."""
        self.process.signal(signal.SIGCONT)
        self.is_frozen = False

    async def is_ready(self) -> bool:
        """Whether /readyz says so; raises EndedByItself."""
        self.check()
        return (await asyncio.to_thread(self.process.get, "/readyz"))[0] == 200

    def check(self) -> None:
        """Raise EndedByItself when the harness did not end it."""
        ended = self.process.popen.poll()
        if ended is not None:
            raise EndedByItself(f"{self.kind}, with exit code {ended}; its log:\n{self.process.log[-4000:]}")

    @property
    def tracebacks(self) -> list[str]:
        """Of errors that it does not handle."""
        return tracebacks_in(self.logs)


def tracebacks_in(logs: Sequence[Path]) -> list[str]:
    """The first one of each log that has some."""
    texts = [path.read_text() for path in logs]
    return [text[text.index("Traceback") :][:2000] for text in texts if "Traceback" in text]
