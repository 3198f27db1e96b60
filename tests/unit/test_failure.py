"""Poison, outage and bug, told apart."""

from __future__ import annotations

import ssl

import aiomqtt
import asyncpg
import fakeredis
import pytest
import redis.exceptions
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from redis.exceptions import ResponseError

from shared.failure import Kind, describe, is_duplicate, is_hopeless, is_too_slow, kind_of
from shared.stream import require


def sql(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("no")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sql("22P05"), Kind.POISON),
        (sql("22021"), Kind.POISON),
        (sql("23514"), Kind.POISON),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), Kind.POISON),
        (OverflowError(), Kind.POISON),
        (sql("08006"), Kind.OUTAGE),
        (sql("40P01"), Kind.OUTAGE),
        (sql("53100"), Kind.OUTAGE),
        (sql("53300"), Kind.OUTAGE),
        (sql("55P03"), Kind.OUTAGE),
        (sql("57014"), Kind.OUTAGE),
        (sql("57P01"), Kind.OUTAGE),
        (sql("25006"), Kind.OUTAGE),
        (sql("28P01"), Kind.OUTAGE),
        (asyncpg.InterfaceError("connection is closed"), Kind.OUTAGE),
        (ConnectionRefusedError(), Kind.OUTAGE),
        (TimeoutError(), Kind.OUTAGE),
        (redis.exceptions.ConnectionError(), Kind.OUTAGE),
        (redis.exceptions.TimeoutError(), Kind.OUTAGE),
        (redis.exceptions.OutOfMemoryError("maxmemory"), Kind.OUTAGE),
        (redis.exceptions.ReadOnlyError("replica"), Kind.OUTAGE),
        (aiomqtt.MqttError("Operation timed out"), Kind.OUTAGE),
        (sql("42P01"), Kind.BUG),
        (sql("25001"), Kind.BUG),
        (sql("XX000"), Kind.BUG),
        (KeyError("x"), Kind.BUG),
        (TypeError("x"), Kind.BUG),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_kind_of(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_a_duplicate_is_23505_alone() -> None:
    assert is_duplicate(asyncpg.UniqueViolationError("there"))
    assert not is_duplicate(asyncpg.CheckViolationError("no"))


@pytest.mark.parametrize(
    ("error", "slow"),
    [
        (sql("57014"), True),
        (TimeoutError(), True),
        (sql("57P01"), False),
        (sql("55P03"), False),
        (ConnectionResetError(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_statement_that_timed_out_was_too_slow(error: Exception, slow: bool) -> None:
    assert is_too_slow(error) is slow


@pytest.mark.parametrize(
    ("error", "hopeless"),
    [
        (asyncpg.InvalidPasswordError("no"), True),
        (asyncpg.InvalidCatalogNameError("no"), True),
        (asyncpg.CannotConnectNowError("starting up"), False),
        (redis.exceptions.AuthenticationError("WRONGPASS"), True),
        (redis.exceptions.NoPermissionError("NOPERM"), True),
        (redis.exceptions.BusyLoadingError("LOADING"), False),
        (aiomqtt.MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Not authorized")), True),
        (aiomqtt.MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Server unavailable")), False),
        (aiomqtt.MqttCodeError(7), False),
        (ssl.SSLCertVerificationError("unknown CA"), True),
        (aiomqtt.MqttError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), True),
        (redis.exceptions.ConnectionError("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca"), True),
        (ssl.SSLError("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"), True),
        (ssl.SSLError("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error"), False),
        (ConnectionError('PostgreSQL server at "h:5432" rejected SSL upgrade'), True),
        (sql("42501"), True),
        (sql("42704"), True),
        (sql("42P01"), False),
        (ConnectionRefusedError(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_waiting_cannot_mend(error: Exception, hopeless: bool) -> None:
    assert is_hopeless(error) is hopeless


def test_an_error_is_one_line() -> None:
    assert describe(sql("22021")) == "no (SQLSTATE 22021)"
    assert describe(ValueError("a\n  b")) == "a b"
    assert describe(TimeoutError()) == "TimeoutError"


async def test_a_redis_that_is_too_old_is_said_so() -> None:
    """fakeredis has no `redis.acl_check_cmd` either."""
    async with fakeredis.FakeAsyncRedis() as client:
        with pytest.raises(ResponseError, match=r"Redis 7\.0 or newer is needed") as raised:
            await require(client, 1, ["XLEN {stream}"])
    assert is_hopeless(raised.value)
