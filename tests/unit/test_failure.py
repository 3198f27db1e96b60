"""Poison, outage and bug are distinguished."""

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

from traksense_ingest.shared.failure import (
    KeptOut,
    Kind,
    Suspect,
    Unsupported,
    Unusable,
    describe,
    is_duplicate,
    is_key_of_measures,
    is_permanent,
    is_refusal,
    kind_of,
    suspect_of,
)
from traksense_ingest.shared.streams.client import ServerClients, errors_name_key, require


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
        (sql("44000"), Kind.POISON),
        (sql("P0001"), Kind.POISON),
        (sql("42P01"), Kind.OUTAGE),
        (sql("42501"), Kind.OUTAGE),
        (sql("26000"), Kind.OUTAGE),
        (sql("42P05"), Kind.OUTAGE),
        (sql("0A000"), Kind.OUTAGE),
        (sql("25001"), Kind.OUTAGE),
        (sql("25P03"), Kind.OUTAGE),
        (sql("25P04"), Kind.OUTAGE),
        (sql("54000"), Kind.OUTAGE),
        (sql("XX000"), Kind.OUTAGE),
        (sql("TS001"), Kind.OUTAGE),
        (sql(""), Kind.OUTAGE),
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
    ("constraint", "text", "is_ours"),
    [
        ("ts_measure_key", "", True),
        ("12_3_ts_measure_key", "", True),
        ("my_ts_measure_key", "", False),
        ("ts_measure_key_too", "", False),
        (None, 'duplicate key value violates unique constraint "1_1_ts_measure_key"', True),
        (None, 'duplicate key value violates unique constraint "other"\nDETAIL: ts_measure_key', False),
    ],
)
def test_the_key_of_measures_and_its_chunks(constraint: str | None, text: str, is_ours: bool) -> None:
    error = asyncpg.UniqueViolationError(text)
    error.constraint_name = constraint
    assert is_key_of_measures(error) is is_ours


@pytest.mark.parametrize(
    ("error", "suspect"),
    [
        *((sql(state), Suspect.SIZE) for state in ("57014", "53200", "53400", "54000", "54001", "55P03", "25P04")),
        (TimeoutError(), Suspect.SIZE),
        *((sql(state), Suspect.SERVER) for state in ("57P01", "53100", "53300", "58030", "25006", "25P03", "08P01")),
        (ConnectionResetError(), Suspect.SERVER),
        (Unusable("no"), Suspect.SERVER),
        *((sql(state), Suspect.SCHEMA) for state in ("42P01", "26000", "0A000", "55000", "25P02", "TS001")),
        (sql("XX001"), Suspect.INTERNAL),
        *((sql(state), Suspect.DATA) for state in ("22003", "23503", "P0004", "21000", "38000")),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), Suspect.DATA),
        (KeptOut("ts_measure", 1, 3), Suspect.DATA),
        (KeyError("x"), Suspect.CODE),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_whom_an_error_makes_suspect(error: Exception, suspect: Suspect) -> None:
    assert suspect_of(error) is suspect


@pytest.mark.parametrize("state", ["55000", "42501", "22023"])
def test_what_ends_a_session_is_the_server(state: str) -> None:
    error = sql(state)
    error.severity_en = "FATAL"
    assert suspect_of(error) is Suspect.SERVER
    assert kind_of(error) is Kind.OUTAGE


@pytest.mark.parametrize(
    ("state", "suspect"),
    [("08006", Suspect.SCHEMA), ("57P01", Suspect.SCHEMA), ("53100", Suspect.SERVER), ("40P01", Suspect.SERVER)],
)
def test_what_ends_a_statement_alone_is_not_the_session(state: str, suspect: Suspect) -> None:
    error = sql(state)
    error.severity_en = "ERROR"
    assert suspect_of(error) is suspect


def test_a_refusal_is_an_answer() -> None:
    assert is_refusal(sql("42501"))
    assert is_refusal(sql("23514"))
    assert not is_refusal(sql("57P01"))
    assert not is_refusal(KeyError("x"))


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (asyncpg.InvalidPasswordError("no"), True),
        (asyncpg.InvalidCatalogNameError("no"), True),
        (asyncpg.CannotConnectNowError("starting up"), False),
        (redis.exceptions.AuthenticationError("WRONGPASS"), True),
        (redis.exceptions.NoPermissionError("NOPERM"), True),
        (redis.exceptions.BusyLoadingError("LOADING"), False),
        (Unsupported("a Sentinel"), True),
        (aiomqtt.MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Not authorized")), True),
        (aiomqtt.MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Server unavailable")), False),
        (aiomqtt.MqttCodeError(7), False),
        (ssl.SSLCertVerificationError("unknown CA"), True),
        (aiomqtt.MqttError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), True),
        (redis.exceptions.ConnectionError("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca"), True),
        (ssl.SSLError("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"), True),
        (ssl.SSLError("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error"), False),
        (ConnectionError('PostgreSQL server at "h:5432" rejected SSL upgrade'), True),
        (asyncpg.ProtocolViolationError("unsupported startup parameter: options"), True),
        (asyncpg.ProtocolViolationError("password authentication failed"), True),
        (asyncpg.ProtocolViolationError('database "x" does not exist'), True),
        (asyncpg.ConnectionDoesNotExistError("closed: transaction blocks not allowed in statement pooling mode"), True),
        (asyncpg.ProtocolViolationError("no more connections allowed (max_client_conn)"), False),
        (asyncpg.ProtocolViolationError("pgbouncer cannot connect to server"), False),
        (asyncpg.ConnectionDoesNotExistError("closed: query_wait_timeout"), False),
        (asyncpg.ConnectionDoesNotExistError("closed: server conn crashed?"), False),
        (sql("42501"), True),
        (sql("42704"), True),
        (sql("42P01"), False),
        (ConnectionRefusedError(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_which_errors_are_permanent(error: Exception, permanent: bool) -> None:
    assert is_permanent(error) is permanent


def test_an_error_is_one_line() -> None:
    assert describe(sql("22021")) == "no (SQLSTATE 22021)"
    assert describe(ValueError("a\n  b")) == "a b"
    assert describe(TimeoutError()) == "no answer in time"


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.MovedError("9189 127.0.0.1:7001", status_code="MOVED"),
        redis.exceptions.AskError("9189 ::1:7001", status_code="ASK"),
        redis.exceptions.ClusterDownError("Hash slot not served", status_code="CLUSTERDOWN"),
        ResponseError("WRONGTYPE Operation against a key"),
    ],
    ids=repr,
)
def test_the_key_is_noted_on_the_error_itself(error: ResponseError) -> None:
    said = str(error)
    with pytest.raises(ResponseError) as raised, errors_name_key("ingest:{0}", "ingest:{0}:ledger"):
        raise error
    assert raised.value is error
    assert describe(error) == f"ingest:{{0}}, ingest:{{0}}:ledger: {said}"


async def test_a_redis_that_is_too_old_is_said_so() -> None:
    """fakeredis has no `redis.acl_check_cmd` either."""
    async with fakeredis.FakeAsyncRedis() as client:
        with pytest.raises(ResponseError, match=r"Redis 7\.0 or newer is needed") as raised:
            await require(ServerClients(client), 1, ["XLEN {stream}"])
    assert is_permanent(raised.value)
