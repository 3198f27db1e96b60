"""Poison, outage or bug: the one place that tells them apart.

Poison is an entry that can never be stored. An outage has nothing to do with the data, and passes.
A bug is what is left: logged, retried, and dead-lettered only after INGEST_MAX_DELIVERIES tries.

An error alone does not condemn an entry: the writer also asks whether the database takes a message that is known to be
good (`writer/store/canary.py`). `suspect_of` says what an error makes suspect first.
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

from traksense_ingest.shared.errors import ConfigurationError, IngestError


class Kind(Enum):
    """What caused a failure: the entry that was being handled, a server, or a bug."""

    POISON = "poison"
    OUTAGE = "outage"
    BUG = "bug"


class Unusable(Exception):
    """A component answers, and can't be used as it is: the message says why, and what to do.

    An outage, since it may be repaired while we wait; a service that is starting ends when it `is_final`.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class KeptOut(Exception):
    """The database took a statement, and left rows out: a trigger that returns NULL does so."""

    def __init__(self, table: str, missing: int, rows: int) -> None:
        super().__init__(f"a trigger on {table} kept {missing} of {rows} rows out")


class Unsupported(Unusable, redis.exceptions.RedisError):
    """REDIS_URL leads to a server of a kind that can't be used: a node of a Redis Cluster, a Sentinel."""

    def __init__(self, message: str) -> None:
        super().__init__(message, is_final=True)


class NotServed(redis.exceptions.ConnectionError):
    """Nodes of a Redis Cluster, or Sentinels, answer, and say that no master can be used now: the message says who, and
    where to look. An outage."""


class Suspect(Enum):
    """What an error of the database may be about, and what the writer does first."""

    DATA = "data"  # values of one message: halve the batch at once
    SIZE = "size"  # the batch is too much at once, or had to wait: wait, and try fewer
    SCHEMA = "schema"  # what constant statements can't cause: an outage, unless a known good message is stored
    INTERNAL = "internal"  # an error of the server's own: as SCHEMA, but a lone message is tried again as by a bug
    SERVER = "server"  # the server or the way to it: an outage, without a canary
    CODE = "code"  # no error of the database at all


# SQLSTATEs by class, and single ones by their code, https://www.postgresql.org/docs/current/errcodes-appendix.html
# What is not here, codes of an operator's own among it, is SCHEMA.
_SUSPECTS = {
    # Values. The writer's statements are constant: what differs from batch to batch is the data.
    "22": Suspect.DATA,  # data exception
    "23": Suspect.DATA,  # integrity constraint violation
    "44": Suspect.DATA,  # WITH CHECK OPTION of a view
    "P0": Suspect.DATA,  # RAISE and the like in a trigger
    # A trigger's own code, given certain values.
    "09": Suspect.DATA,  # triggered action exception
    "20": Suspect.DATA,  # CASE without a match
    "21": Suspect.DATA,  # more rows than one from a subquery
    "27": Suspect.DATA,  # triggered data change violation
    "2F": Suspect.DATA,  # SQL routine exception
    "38": Suspect.DATA,  # external routine exception
    "39": Suspect.DATA,  # external routine invocation exception
    # How much is done at once, and how long it may take.
    "54": Suspect.SIZE,  # program limit exceeded: too long a row, too many columns
    "53200": Suspect.SIZE,  # out of memory, of the lock table too: a batch that touches many chunks
    "53400": Suspect.SIZE,  # configuration limit exceeded, temp_file_limit for one
    "55P03": Suspect.SIZE,  # lock_timeout
    "57014": Suspect.SIZE,  # statement_timeout, or canceled by an administrator
    "25P04": Suspect.SIZE,  # transaction_timeout
    "XX": Suspect.INTERNAL,  # internal error, corrupted data or index
    # The server is stopping, starting, full or another one; or it can't be reached.
    "08": Suspect.SERVER,  # connection exception
    "28": Suspect.SERVER,  # a password or a role that changed while we run
    "3D": Suspect.SERVER,  # the database was dropped, or is being restored
    "40": Suspect.SERVER,  # transaction rollback: deadlock, serialization
    "53": Suspect.SERVER,  # insufficient resources: disk full, too many connections
    "57": Suspect.SERVER,  # operator intervention: shutdown, starting up
    "58": Suspect.SERVER,  # system error: I/O
    "25006": Suspect.SERVER,  # read-only: a standby, or set so
    "25P03": Suspect.SERVER,  # idle_in_transaction_session_timeout: this process stood still
}

_OF_SESSIONS = frozenset({"08", "28", "3D", "57"})  # the server gives these as FATAL

_REFUSALS = frozenset({Suspect.DATA, Suspect.SCHEMA, Suspect.INTERNAL})

# asyncpg's, for a connection or a pool that was closed while it was in use, or whose state asyncpg has lost track of.
CONNECTION_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)
# What asyncpg raises, but for what comes from the socket (OSError).
DATABASE_ERRORS = (asyncpg.PostgresError, *CONNECTION_LOST)
# What redis-py and aiomqtt raise, and what comes from their sockets.
REDIS_ERRORS = (redis.exceptions.RedisError, OSError)
BROKER_ERRORS = (aiomqtt.MqttError, OSError)
# PostgreSQL's, where a part of the schema is missing.
NO_SUCH_OBJECT = (asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)

# Nothing in an entry can make Redis refuse it, so whatever Redis refuses is an outage.
_OUTAGES = (
    Unusable,
    OSError,  # ConnectionError, TimeoutError and socket.gaierror are among them
    asyncio.TimeoutError,
    EOFError,
    redis.exceptions.RedisError,
    aiomqtt.MqttError,
    *CONNECTION_LOST,
)
# asyncpg raises the first ones for a value that it can't encode.
_OF_VALUES = (ValueError, OverflowError, UnicodeEncodeError, KeptOut)

# TimescaleDB puts the numbers of a chunk and of a constraint before its name.
_KEY_OF_MEASURES = re.compile(r"(?<!\w)(\d+_)*ts_measure_key(?!\w)")

# Reason codes of CONNACK (paho translates those of MQTT 3.1.1): unsupported protocol, client id not valid, bad user or
# password, not authorized, banned.
_PERMANENT_CONNACKS = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A})
# … and of SUBACK, or of the DISCONNECT in its place: not authorized, topic filter invalid, shared subscriptions not
# supported, wildcard subscriptions not supported.
_PERMANENT_SUBACKS = frozenset({0x87, 0x8F, 0x9E, 0xA2})

_MQTT_TAKEN_OVER = 0x8E  # MQTT 5: another client has connected with our client id

_PERMANENT_CLASSES = frozenset({"28", "3D"})  # password, certificate or role refused; no such database
_PERMANENT_STATES = frozenset(
    {
        "42501",  # a privilege is missing
        "42704",  # the URL sets a parameter that the server doesn't know
        "22023",  # … or to a value that it doesn't take
    }
)

# What OpenSSL says of a certificate that one of both sides doesn't accept. aiomqtt and redis-py wrap the ssl module's
# error and keep no more than its text.
_CERTIFICATE_REFUSED = re.compile(r"CERTIFICATE_VERIFY_FAILED|_ALERT_(UNKNOWN_CA|\w*CERTIFICATE\w*)")
_TLS_REFUSED = "rejected SSL upgrade"  # asyncpg's message for a server without TLS where sslmode demands it

# What Redis answers for a database that it doesn't have, and our scripts on a server that can't do what they need.
_REDIS_REFUSED = ("DB index", "Redis 7.0 or newer is needed")

# What a connection pooler answers to what it will never do, and what it passes on of the server's answer: all of its
# errors have SQLSTATE 08P01 at the login, and asyncpg makes 08003 of later ones.
_POOLER_REFUSED = re.compile(
    r"unsupported startup parameter|statement pooling mode|(password|SASL|cert) authentication failed"
    r"|no such (user|database)|(database|role) \S+ does not exist|not allowed"
)
_POOLER_STATES = frozenset({"08P01", "08003"})
_STATEMENT_POOLING = "in statement pooling mode"

_PERMANENT = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.NoPermissionError,
    asyncpg.ClientConfigurationError,  # a parameter of the URL that asyncpg doesn't know
)


def kind_of(error: BaseException) -> Kind:
    """What an error that was raised while storing or moving entries says of them, as long as nothing else is known."""
    if isinstance(error, asyncpg.PostgresError):
        return Kind.POISON if suspect_of(error) is Suspect.DATA else Kind.OUTAGE
    if isinstance(error, _OUTAGES):
        return Kind.OUTAGE
    return Kind.POISON if isinstance(error, _OF_VALUES) else Kind.BUG


def suspect_of(error: BaseException) -> Suspect:
    """What an error that was raised while storing messages makes suspect."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        suspect = _SUSPECTS.get(state) or _SUSPECTS.get(state[:2]) or Suspect.SCHEMA
        if _ends_its_session(error) and suspect is not Suspect.SIZE:
            return Suspect.SERVER
        # An error of one statement does not end the session: a trigger gave it that code, or met it elsewhere.
        is_borrowed = state[:2] in _OF_SESSIONS and getattr(error, "severity_en", None) == "ERROR"
        return Suspect.SCHEMA if suspect is Suspect.SERVER and is_borrowed else suspect
    if isinstance(error, TimeoutError):  # of our own
        return Suspect.SIZE
    if isinstance(error, _OUTAGES):
        return Suspect.SERVER
    return Suspect.DATA if isinstance(error, _OF_VALUES) else Suspect.CODE


def _ends_its_session(error: asyncpg.PostgresError) -> bool:
    """Whether it is more than the end of a statement. What refuses a connection is so too, whatever its code."""
    return getattr(error, "severity_en", None) in ("FATAL", "PANIC")


def is_refusal(error: BaseException) -> bool:
    """Whether the database was reachable, and refused what it was asked to do."""
    return isinstance(error, asyncpg.PostgresError) and suspect_of(error) in _REFUSALS


def sqlstate_of(error: BaseException) -> str | None:
    """The five characters of SQLSTATE, where the database gave one."""
    return error.sqlstate if isinstance(error, asyncpg.PostgresError) else None


def is_duplicate(error: BaseException) -> bool:
    """Whether a COPY was refused because a row of that key, or of another unique one, exists already (23505)."""
    return isinstance(error, asyncpg.UniqueViolationError)


def is_key_of_measures(error: BaseException) -> bool:
    """Whether it is a duplicate of ts_measure's own key, and not of a unique index that somebody has added."""
    name = getattr(error, "constraint_name", None) or str(error).partition("\n")[0]
    return is_duplicate(error) and _KEY_OF_MEASURES.search(name) is not None


def is_permanent(error: BaseException) -> bool:
    """Whether waiting can't help a service that is starting: a wrong password, database, protocol or CA."""
    if isinstance(error, asyncpg.PostgresError):
        return _is_permanent_sqlstate(error.sqlstate or "") or _is_refused_by_pooler(error)
    if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
        return error.rc.value in _PERMANENT_CONNACKS | _PERMANENT_SUBACKS
    if isinstance(error, Unusable):
        return error.is_final
    return isinstance(error, _PERMANENT) or _is_tls_refused(error) or any(text in str(error) for text in _REDIS_REFUSED)


def ended_by(error: BaseException, message: str) -> IngestError:
    """What ends a command that met this error: exit code 2 where starting it again doesn't help, else 1."""
    is_lasting = isinstance(error, ConfigurationError) or is_permanent(error)
    return (ConfigurationError if is_lasting else IngestError)(message)


def is_final_refusal(code: int) -> bool:
    """Whether waiting can't change a broker's refusal of a subscription, by its reason code."""
    return code in _PERMANENT_SUBACKS


def _is_permanent_sqlstate(sqlstate: str) -> bool:
    return sqlstate[:2] in _PERMANENT_CLASSES or sqlstate in _PERMANENT_STATES


def _is_refused_by_pooler(error: asyncpg.PostgresError) -> bool:
    return error.sqlstate in _POOLER_STATES and _POOLER_REFUSED.search(str(error)) is not None


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


def summary(error: BaseException) -> str:
    """As `describe`, without the lines that PostgreSQL adds: DETAIL may name a row, another one each time."""
    return describe(error, str(error).partition("\n")[0])


def describe(error: BaseException, message: str = "") -> str:
    """One line for a person: the message, or what kind of error it is, behind the notes that were added."""
    message = message or str(error) or _name_of(error)
    text = " ".join(": ".join((*getattr(error, "__notes__", ()), message)).split())
    if _STATEMENT_POOLING in text:
        text += ": statement pooling can't work, set the pooler's pool_mode to transaction or session"
    state = sqlstate_of(error)
    return f"{text} (SQLSTATE {state})" if state else text


def _name_of(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
