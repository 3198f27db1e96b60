"""aedes, a broker for MQTT 3.1.1 out of npm: it takes `$share/group/filter` for a topic of that name.

`npm install --prefix tests/support/node` gets it; tests that need it skip without.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded.broker import mqtt_answers
from traksense_ingest.ops.embedded.server import Server

_HOME = Path(__file__).parent / "node"


class Aedes(Server):
    """Keeps sessions and messages in memory."""

    name: ClassVar[str] = "aedes"

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return shutil.which("node") is not None and (_HOME / "node_modules" / "aedes").is_dir()

    @property
    def url(self) -> str:
        """`mqtt://127.0.0.1:PORT`, for MQTT 3.1.1."""
        return f"mqtt://{self.host}:{self.port}"

    def _command(self) -> list[str]:
        return ["node", str(_HOME / "aedes.js"), str(self.port)]

    def _answers(self) -> bool:
        return mqtt_answers(self.port)
