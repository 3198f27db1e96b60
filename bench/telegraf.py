"""Telegraf, as one would configure it to store the same messages in the same table.

It reads MQTT at QoS 1 in a session that it keeps, parses with json_v2, and copies as many rows at once as a writer. It
acknowledges a message once its rows are stored; until then it holds it in memory.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from bench.stage import COPY_ROWS
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.shared.messages import topic_of

PROGRAM = "telegraf"
TOPIC_FILTER = topic_of("+", "+", "+")
UNDELIVERED_MAX = 5_000  # messages that it reads ahead of what is stored: as many as six batches

_CONFIG = """\
[agent]
  omit_hostname = true
  flush_interval = "1s"
  metric_batch_size = {rows}
  metric_buffer_limit = {buffer}

[[inputs.mqtt_consumer]]
  servers = ["tcp://{broker}"]
  topics = ["{topic_filter}"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "{client_id}"
  max_undelivered_messages = {undelivered}
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "{topic_filter}"
    tags = "_/tenant_id/_/device_id/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "ts_measure"
    timestamp_path = "ts"
    timestamp_format = "rfc3339"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "points"
      included_keys = ["name", "u", "v"]
      tags = ["name", "u"]
      [inputs.mqtt_consumer.json_v2.object.renames]
        name = "point_id"
        u = "unit"
        v = "v_num"

[[outputs.postgresql]]
  connection = "{database_url}"
  timestamp_column_name = "ts"
  timestamp_column_type = "timestamp with time zone"
  create_templates = []
  add_column_templates = []
"""


class Telegraf(Server):
    """One process, from a broker to a database."""

    name: ClassVar[str] = "telegraf"

    def __init__(self, directory: Path, broker_url: str, database_url: str, client_id: str) -> None:
        super().__init__(directory, free_port())
        self._config = _CONFIG.format(
            rows=COPY_ROWS,
            buffer=100 * COPY_ROWS,
            broker=urlsplit(broker_url).netloc,
            topic_filter=TOPIC_FILTER,
            client_id=client_id,
            undelivered=UNDELIVERED_MAX,
            database_url=database_url,
        )

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return shutil.which(PROGRAM) is not None

    @property
    def url(self) -> str:
        """It has none: it serves nobody."""
        return ""

    @property
    def _config_path(self) -> Path:
        return self.directory / "telegraf.conf"

    def _ports(self) -> list[int]:
        return []

    def _prepare(self) -> None:
        self._config_path.write_text(self._config)

    def _command(self) -> list[str]:
        return [PROGRAM, "--config", str(self._config_path)]

    def _answers(self) -> bool:
        return "Connected" in self.log_tail()
