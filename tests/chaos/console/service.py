"""`traksense-ingest console` as a process, with somebody who is logged in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.service import EndedByItself, tracebacks_in
from tests.support.console import Browser, Console

# It takes some 80 MiB; docker-compose.yml and the Helm chart give it 512 MiB.
MEMORY_MAX_KIB = 200 * 1024


@dataclass
class ConsoleService:
    """Started again at the same port after the harness has killed it, and never otherwise."""

    environment: dict[str, str]
    directory: Path
    consoles: list[Console] = field(default_factory=list)  # the newest one last
    is_running: bool = False
    highest_kib: int = 0  # that it took, as far as it was measured

    @property
    def starts(self) -> int:
        """How often it was started."""
        return len(self.consoles)

    @property
    def logs(self) -> Sequence[Path]:
        """One for each start."""
        return [console.log_path for console in self.consoles]

    @property
    def tracebacks(self) -> list[str]:
        """Of errors that it does not handle."""
        return tracebacks_in(self.logs)

    async def start(self) -> None:
        """A new process, and a login with the link that it prints."""
        port = ["--port", str(self.port)] if self.consoles else []
        self.consoles.append(Console(self.environment, self.directory, *port))
        await self.consoles[-1].says("console: http://")
        self.browser: Browser = await asyncio.to_thread(self.consoles[-1].operator)
        self.is_running = True

    async def kill(self) -> None:
        """kill -9."""
        self.is_running = False
        if self.consoles:
            await asyncio.to_thread(self.consoles[-1].kill)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.consoles[-1].port

    def check(self) -> None:
        """Raise EndedByItself when the harness did not end it."""
        ended = self.consoles[-1].popen.poll()
        if self.is_running and ended is not None:
            raise EndedByItself(f"console, with exit code {ended}; its log:\n{self.consoles[-1].log[-4000:]}")

    def measure(self) -> None:
        """Note how much memory it takes."""
        try:
            status = Path(f"/proc/{self.consoles[-1].popen.pid}/status").read_text()
        except OSError:  # it was killed
            return
        lines = [line.split() for line in status.splitlines() if line.startswith("VmRSS:")]
        self.highest_kib = max(self.highest_kib, *(int(words[1]) for words in lines), 0)
