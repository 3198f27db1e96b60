"""Poison, outage or bug: the one place that tells them apart.

Poison is the entry's own fault and will never be stored. An outage is nobody's data's fault and passes.
A bug is what is left: logged, retried, and dead-lettered only after INGEST_MAX_DELIVERIES tries.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from enum import Enum

import aiomqtt
import asyncpg
import redis.exceptions
from paho.mqtt.reasoncodes import ReasonCode


class Kind(Enum):
    """What a failure says about the entry that was being handled: all, nothing, or unknown."""

    POISON = "poison"
    OUTAGE = "outage"
    BUG = "bug"


# SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_POISON_CLASSES = frozenset({"22", "23"})  # data exception, integrity constraint violation
_OUTAGE_CLASSES = frozenset(
    {
        "08",  # connection exception
        "28",  # a password or a role that changed while we run
        "3D",  # the database is away: dropped, being restored
        "40",  # transaction rollback: deadlock, serialization
        "53",  # insufficient resources: disk full, too many connections
        "55",  # object not in prerequisite state: lock not available
        "57",  # operator intervention: shutdown, statement timeout
        "58",  # system error: I/O
    }
)
_READ_ONLY = "25006"
_CANCELED = "57014"  # by statement_timeout, or by an administrator

# Nothing in an entry can make Redis refuse it, so whatever Redis refuses is an outage.
_OUTAGES = (
    OSError,  # ConnectionError, TimeoutError and socket.gaierror are among them
    asyncio.TimeoutError,
    EOFError,
    redis.exceptions.RedisError,
    aiomqtt.MqttError,
    asyncpg.InterfaceError,  # the connection or the pool was closed under our feet
    asyncpg.InternalClientError,  # … and asyncpg lost track of what state it was in
)
# asyncpg raises these for a value that it can't put on the wire.
_UNENCODABLE = (ValueError, OverflowError, UnicodeEncodeError)

# CONNACK and SUBACK reason codes (paho translates those of MQTT 3.1.1): unsupported protocol, client id not
# valid, bad user or password, not authorized, banned.
_MQTT_HOPELESS = frozenset({132, 133, 134, 135, 138})

_MQTT_TAKEN_OVER = 0x8E  # MQTT 5: another client has connected with our client id

_HOPELESS_CLASSES = frozenset({"28", "3D"})  # password, certificate or role refused; no such database
_HOPELESS_STATES = frozenset(
    {
        "42501",  # a privilege is missing
        "42704",  # the URL sets a parameter that the server doesn't know
        "22023",  # … or to a value that it doesn't take
    }
)

# What OpenSSL says of a certificate that one of both sides doesn't accept. aiomqtt and redis-py wrap the ssl module's
# error and keep no more than its text.
_CERTIFICATE_REFUSED = re.compile(r"CERTIFICATE_VERIFY_FAILED|_ALERT_(UNKNOWN_CA|\w*CERTIFICATE\w*)")
_TLS_REFUSED = "rejected SSL upgrade"  # asyncpg's words for a server without TLS where sslmode demands it

# Redis's words for a database that it doesn't have, and our scripts' for a server that can't do what they need.
_REDIS_REFUSED = ("DB index", "Redis 7.0 or newer is needed")

_HOPELESS = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.NoPermissionError,
    asyncpg.ClientConfigurationError,  # a parameter of the URL that asyncpg doesn't know
)


def kind_of(error: BaseException) -> Kind:
    """What an error that was raised while storing or moving entries says of them."""
    if isinstance(error, asyncpg.PostgresError):
        return _kind_of_sqlstate(error.sqlstate or "")
    if isinstance(error, _OUTAGES):
        return Kind.OUTAGE
    return Kind.POISON if isinstance(error, _UNENCODABLE) else Kind.BUG


def _kind_of_sqlstate(sqlstate: str) -> Kind:
    if sqlstate[:2] in _POISON_CLASSES:
        return Kind.POISON
    return Kind.OUTAGE if sqlstate[:2] in _OUTAGE_CLASSES or sqlstate == _READ_ONLY else Kind.BUG


def sqlstate_of(error: BaseException) -> str | None:
    """The five characters of SQLSTATE, where the database gave one."""
    return error.sqlstate if isinstance(error, asyncpg.PostgresError) else None


def is_duplicate(error: BaseException) -> bool:
    """Whether a COPY was refused because a row of that key is there already (23505)."""
    return isinstance(error, asyncpg.UniqueViolationError)


def is_too_slow(error: BaseException) -> bool:
    """Whether the database didn't finish in time, by its own limit (57014) or by ours: less at once may do."""
    return isinstance(error, TimeoutError) or sqlstate_of(error) == _CANCELED


def is_hopeless(error: BaseException) -> bool:
    """Whether waiting can't help a service that is starting: a wrong password, database, protocol or CA."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _HOPELESS_CLASSES or error.sqlstate in _HOPELESS_STATES
    if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
        return error.rc.value in _MQTT_HOPELESS
    return isinstance(error, _HOPELESS) or _is_tls_refused(error) or any(text in str(error) for text in _REDIS_REFUSED)


def is_taken_over(error: BaseException) -> bool:
    """Whether the broker ended a connection because another client uses its client id; only MQTT 5 tells."""
    reason = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    return isinstance(reason, ReasonCode) and reason.value == _MQTT_TAKEN_OVER


def _is_tls_refused(error: BaseException) -> bool:
    text = str(error)
    return (
        isinstance(error, ssl.SSLCertVerificationError)
        or _CERTIFICATE_REFUSED.search(text) is not None
        or _TLS_REFUSED in text
    )


def describe(error: BaseException) -> str:
    """One line for a person: the message, or the class where an error has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    state = sqlstate_of(error)
    return f"{text} (SQLSTATE {state})" if state else text
