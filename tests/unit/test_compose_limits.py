"""The arithmetic in docker-compose.yml and deploy/emqx/base.hocon: what a part may hold fits into what it is given."""

from __future__ import annotations

import re

import pytest

from tests.support.compose import ROOT, SERVICES, TEXT
from traksense_ingest.receiver import connection, forward
from traksense_ingest.shared.config import Settings

HOCON = (ROOT / "deploy/emqx/base.hocon").read_text()
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "kb": 2**10, "mb": 2**20, "gb": 2**30}
TIMES = {"s": 1, "m": 60, "h": 3600}
TOPIC = 65_535  # the longest that MQTT allows
PROCESS = 100 * 2**20  # a receiver or writer by itself, and room
HEAP, PAYLOAD = 800, 1_000  # bytes of a message at EMQX, as the comment has them
RATE = 500  # messages/s of all devices in that file


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]*)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit.lower()]


def seconds(text: str) -> int:
    return int(text[:-1]) * TIMES[text[-1]]


def emqx(key: str) -> str:
    """A setting's value."""
    (value,) = re.findall(rf"^ +{key} = (\S+)", HOCON, re.MULTILINE)
    return str(value)


def limit(service: str) -> int:
    return size(SERVICES[service]["mem_limit"])


def start_period(service: str) -> int:
    return seconds(SERVICES[service]["healthcheck"]["start_period"])


QUEUE, INFLIGHT, PACKET = int(emqx("max_mqueue_len")), int(emqx("max_inflight")), size(emqx("max_packet_size"))
RECEIVERS = [
    (int(receivers), int(rate), int(minutes), float(gigabytes))
    for receivers, rate, minutes, gigabytes in re.findall(
        r"^## +(\d) \| +(\d+) \| +(\d+) min \| ([\d.]+) GB$", HOCON, re.MULTILINE
    )
]


@pytest.mark.parametrize(("receivers", "rate", "minutes", "gigabytes"), RECEIVERS)
def test_what_sessions_hold_is_as_the_table_says(receivers: int, rate: int, minutes: int, gigabytes: float) -> None:
    assert rate == round(RATE / receivers)
    assert minutes == QUEUE * receivers // RATE // 60
    assert gigabytes == pytest.approx(QUEUE * receivers * (2 * HEAP + PAYLOAD) / 1e9)
    assert gigabytes * 1e9 < limit("emqx")


def test_the_table_ends_where_memory_does() -> None:
    assert [receivers for receivers, *_ in RECEIVERS] == [1, 2, 3]
    assert (len(RECEIVERS) + 1) * QUEUE * (2 * HEAP + PAYLOAD) > limit("emqx")
    assert "from three receivers on" in HOCON


def test_a_session_is_not_ended_for_what_it_may_hold() -> None:
    assert size(emqx("max_heap_size")) > QUEUE * HEAP * 2


def test_a_session_lasts_as_long_by_either_protocol() -> None:
    assert seconds(emqx("session_expiry_interval")) == connection.SESSION_EXPIRY_S


def test_what_is_too_large_reaches_the_dead_letters() -> None:
    assert Settings.model_fields["ingest_max_payload_bytes"].default + TOPIC < PACKET


def test_messages_in_flight_fill_a_batch() -> None:
    assert forward.BATCH_COUNT <= INFLIGHT <= connection.RECEIVE_MAXIMUM


def test_a_receiver_bears_what_is_in_flight_while_the_stream_is_full() -> None:
    assert f"{INFLIGHT} messages in flight" in TEXT
    assert limit("receiver") > INFLIGHT * PACKET + 4 * forward.BATCH_BYTES + PROCESS


def test_redis_has_time_to_read_its_file() -> None:
    maxmemory = size(re.findall(r"^maxmemory (\S+)$", (ROOT / "deploy/redis/redis.conf").read_text(), re.MULTILINE)[0])
    assert start_period("redis") >= 2 * maxmemory / 20e6
    assert limit("redis") >= 2 * maxmemory


def test_the_database_has_time_to_recover() -> None:
    assert start_period("timescaledb") >= 2**30 / 4e6
