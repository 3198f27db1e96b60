"""rumqttd, an MQTT broker: one listener for MQTT 3.1.1 and, if wanted, one for MQTT 5.

What it does not do: sessions and undelivered messages live in memory and end with the process;
an acknowledgement out of order, or one too many, ends the connection; at most 100 unacknowledged
messages are in flight to a subscriber, whatever is configured; while that many are, it answers that
subscriber nothing, not even a PINGREQ.
"""

import sys
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded.ports import ask
from traksense_ingest.ops.embedded.server import Server

# Clean session, keepalive 10 s (rumqttd refuses 0), no client id: the broker makes one up. An id used again
# after an aborted handshake makes rumqttd panic, and that listener accepts no client any more.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
_CONNECT_V5 = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"
_CONNACK = 0x20

# The broker keeps what it received for each topic filter until it has this much, read or not, and
# then forgets the oldest segment: 8 × 32 MiB is about 400 000 messages of 600 bytes.
_ROUTER = """\
id = 0

[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 1000
max_segment_size = 33554432
max_segment_count = 8
"""

_LISTENER = """
[{version}.1]
name = "{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 0

[{version}.1.connections]
connection_timeout_ms = 10000
max_payload_size = 4194304
max_inflight_count = 1000
"""


class Broker(Server):
    """An MQTT broker on `port` for MQTT 3.1.1 and on `v5_port`, when given, for MQTT 5."""

    name: ClassVar[str] = "broker"

    def __init__(self, directory: Path, port: int, v5_port: int | None = None) -> None:
        super().__init__(directory, port)
        self.v5_port = v5_port

    @property
    def url(self) -> str:
        """`mqtt://127.0.0.1:PORT`, for MQTT 3.1.1."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def v5_url(self) -> str | None:
        """The same for MQTT 5, or None when that listener is off."""
        return None if self.v5_port is None else f"mqtt://{self.host}:{self.v5_port}"

    @property
    def _config_path(self) -> Path:
        return self.directory / "rumqttd.toml"

    def _ports(self) -> list[int]:
        return [self.port] if self.v5_port is None else [self.port, self.v5_port]

    def _prepare(self) -> None:
        self._config_path.write_text(self._config())

    def _config(self) -> str:
        listeners = zip(("v4", "v5"), self._ports(), strict=False)
        return _ROUTER + "".join(
            _LISTENER.format(version=version, host=self.host, port=port) for version, port in listeners
        )

    def _command(self) -> list[str]:
        # Below CRITICAL the broker logs an error for every packet it routes.
        options = ["--config", str(self._config_path), "--log-level", "CRITICAL"]
        return [sys.executable, "-m", "iotcore", *options]

    def _answers(self) -> bool:
        requests = zip((_CONNECT, _CONNECT_V5), self._ports(), strict=False)
        return all(mqtt_answers(port, connect) for connect, port in requests)


def mqtt_answers(port: int, connect: bytes = _CONNECT) -> bool:
    """Whether an MQTT broker accepts a CONNECT packet; raises OSError when nothing listens."""
    answer = ask(port, connect)
    return len(answer) >= 4 and answer[0] == _CONNACK and answer[3] == 0
