"""Folders of mapping files, as INGEST_MAPPINGS names them."""

from __future__ import annotations

from pathlib import Path

TOPIC = "readings/acme/plant1/n7"


def readings(
    points: str = "{path: temp}", name: str = "readings", topic: str = "readings/{tenant}/{site}/{device}"
) -> str:
    """A mapping of `{"ts": …, "temp": …}`."""
    return f"""\
version: 1
name: {name}
tenant: {{from: topic}}
routes:
  - name: reading
    topics: "{topic}"
    time: {{path: ts}}
    points: [{points}]
tests:
  - name: one
    topic: {topic.replace("{tenant}", "acme").replace("{site}", "plant1").replace("{device}", "n7")}
    payload: '{{"ts":"2026-01-02T03:04:05Z","temp":4.5}}'
    rows: [{{tenant: acme, site: plant1, device: n7, ts: "2026-01-02T03:04:05Z", point: temp, v_num: 4.5}}]
"""


def reading(second: int = 5, temp: float = 4.5) -> bytes:
    """A payload that it takes."""
    return b'{"ts":"2026-01-02T03:04:%02dZ","temp":%g}' % (second, temp)


class Folder:
    """`INGEST_MAPPINGS=…/`."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}/"

    def put(self, text: str, name: str = "readings") -> None:
        """Write a file, or replace it."""
        (self.path / f"{name}.yaml").write_text(text)

    def remove(self, name: str = "readings") -> None:
        """Remove a file."""
        (self.path / f"{name}.yaml").unlink()
