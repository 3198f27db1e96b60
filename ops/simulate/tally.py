"""What was published, and how many rows are to be expected of it. Only what got its PUBACK counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from ops.simulate.messages import Message


@dataclass
class Tally:
    """Counts messages as they are acknowledged; takes a few bytes a device, however long the run."""

    kinds: Counter[str] = field(default_factory=Counter)  # good messages
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what is wrong, class of reason)
    refused: Counter[str] = field(default_factory=Counter)  # reason of the broker (MQTT 5)
    points: int = 0
    commands: int = 0  # distinct cmd_ids
    sent_again: int = 0  # after a loss of the connection; the broker may have had them already
    unconfirmed: int = 0  # sent, and no PUBACK at the end: they may have arrived
    first: datetime | None = None
    last: datetime | None = None
    _last_command: dict[int, str] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """Count a message that was published."""
        if message.fault is not None:
            self.faults[message.fault, message.error_class or ""] += 1
            return
        self.kinds[message.kind] += 1
        # A device's timestamps are distinct, and so are a message's names: each point is a row.
        self.points += message.points
        self.first = min(self.first or message.ts, message.ts)
        self.last = max(self.last or message.ts, message.ts)
        if message.cmd_id is not None:
            self._add_command(message.device, message.cmd_id)

    def _add_command(self, device: int, cmd_id: str) -> None:
        # A device repeats none but its latest command, so one id a device tells what is new.
        if self._last_command.get(device) != cmd_id:
            self.commands += 1
        self._last_command[device] = cmd_id

    @property
    def good(self) -> int:
        """Good messages."""
        return self.kinds.total()

    @property
    def bad(self) -> int:
        """Bad messages."""
        return self.faults.total()

    @property
    def published(self) -> int:
        """All messages."""
        return self.good + self.bad

    @property
    def events(self) -> int:
        """Distinct events: no device tells of one twice."""
        return self.kinds["event"]

    def by_class(self) -> Counter[str]:
        """Bad messages by the class of reason that the writer gives."""
        classes: Counter[str] = Counter()
        for (_, error_class), number in self.faults.items():
            classes[error_class] += number
        return classes

    def rows(self) -> dict[str, int]:
        """Rows to expect in each table."""
        return {
            "ts_measure": self.points,
            "cmd_ack": self.commands,
            "device_event": self.events,
            "ingest_errors": self.bad,
        }
