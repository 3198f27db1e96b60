"""Messages of public device formats, and the rows that they must become: `tests/cases/shapes.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "cases" / "shapes.jsonl"
OWN = Path(__file__).parents[1] / "mappings"

ACME = "?tenant=acme"
ALONE = (
    "ha_statestream"  # esphome's topics are its too: a broker may deliver to both, and the first one loaded takes it
)
_SPEC = [
    *(f"{OWN}/{name}.yaml" for name in ("binary", "packed", "wise")),
    *("khomp", "senml", "milesight", "otlp", "line-protocol", "geojson", "sensors", "emqx-envelope"),
    *(f"{name}{ACME}" for name in ("chirpstack", "sparkplug", "ttn", "zigbee2mqtt", "esphome", "victron", "owntracks")),
    f"tasmota{ACME}&tz=Europe/Berlin",
    f"shelly{ACME}&site=shop",
    f"thingsboard-gateway{ACME}&site=plant1",
]

COLUMNS = ("tenant", "device", "point", "ts", "v_num", "v_bool", "v_text", "unit", "meta")
OF_RECEIPT = 123_000  # µs of the moment at which each message is received, and of no other

Row = tuple[Any, ...]


@dataclass
class Shape:
    """A line of the file. `received_at` is when it was really received, once that is known."""

    number: int
    line: dict[str, Any]
    received_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))

    @property
    def name(self) -> str:
        return f"{self.number}-{self.line['shape']}"

    @property
    def topic(self) -> str:
        return str(self.line["topic"])

    @property
    def payload(self) -> bytes:
        text = self.line.get("payload")
        return bytes.fromhex(self.line["payload_hex"]) if text is None else text.encode()

    @property
    def said_received_at(self) -> datetime:
        """When it is received, as the line has it."""
        return _moment(self.line["received_at"])

    @property
    def needs_its_receipt(self) -> bool:
        """Whether its rows depend on more than the moment itself: which of two hours is nearer to it."""
        return '"Time":"2026-10-25T02' in self.line.get("payload", "")

    @property
    def rows(self) -> list[Row]:
        """Of ts_measure; a moment that comes of the receipt is moved to when it was really received."""
        return [
            (*(row[name] for name in COLUMNS[:3]), self._ts(row["ts"]), *(row[name] for name in COLUMNS[4:]))
            for row in self._entries(None)
        ]

    @property
    def sites(self) -> dict[tuple[str, str], str]:
        """By tenant and device."""
        return {(row["tenant"], row["device"]): row["site"] for row in self.line.get("rows", [])}

    def of(self, table: str) -> list[dict[str, Any]]:
        """What is expected in another table."""
        return [row | {"ts": self._ts(row.get("ts") or row["ts_exec"])} for row in self._entries(table)]

    def _entries(self, table: str | None) -> Iterable[dict[str, Any]]:
        return (row for row in self.line.get("rows", []) if row.get("table") == table)

    def _ts(self, text: str) -> datetime:
        ts = _moment(text)
        if ts.microsecond != OF_RECEIPT or self.needs_its_receipt:
            return ts
        return self.received_at + (ts - self.said_received_at)


def parts(all_: list[Shape]) -> dict[str, list[Shape]]:
    """INGEST_MAPPINGS, and the messages that are sent to a receiver and a writer with it."""
    return {
        ",".join(_SPEC): [shape for shape in all_ if shape.line["shape"] != ALONE],
        f"home-assistant{ACME}": [shape for shape in all_ if shape.line["shape"] == ALONE],
    }


def shapes() -> list[Shape]:
    """All lines, in order."""
    return [Shape(number, json.loads(line)) for number, line in enumerate(FILE.read_text().splitlines(), 1)]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def received_at(milliseconds: bytes) -> datetime:
    """Of a field of the stream."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds))
