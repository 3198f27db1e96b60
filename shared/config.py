"""The environment (and a `.env` file), parsed once into a frozen value that is handed down.

The table in docs/configuration.md is compared with it by a test. Nothing below a `__main__` reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from traksense_ingest.shared import tls
from traksense_ingest.shared.database_url import DatabaseUrl
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.messages import FILTERS, is_filter
from traksense_ingest.shared.streams.redis_url import RedisUrl

_POSTGRES_FORM = (
    "postgresql://user:password@host:port/database, or several hosts: user:password@host:port,host:port/database "
    "(special characters percent-encoded, IPv6 addresses in brackets), or the directory of a Unix socket: "
    "postgresql:///database?host=/run/postgresql&user=user"
)

SHARDS_MAX = 1024


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.hostname or parts.path.strip("/") or parts.query):
            raise ValueError
        # The rest of a password with a /, ? or # that isn't percent-encoded: its beginning would be taken for a port.
        if "@" in parts.path + parts.fragment + parts.query.partition("=")[0]:
            raise ValueError
        _ = parts.port  # raises ValueError when it is no port number
        return value

    return AfterValidator(check)


def _database_url(value: str) -> str:
    DatabaseUrl.parse(value)
    return value


def _redis_url(value: str) -> str:
    RedisUrl.parse(value)
    return value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _topic_filter(value: str) -> str:
    if not is_filter(value):
        raise ValueError
    return value


TopicFilters = Annotated[tuple[Annotated[str, AfterValidator(_topic_filter)], ...], NoDecode, BeforeValidator(_split)]
Aggregates = Annotated[tuple[Literal["1m", "5m", "1h"], ...], NoDecode, BeforeValidator(_split)]
PostgresUrl = Annotated[str, AfterValidator(_database_url)]
Days = Annotated[int, Field(ge=1, le=36_500)] | None
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Settings(BaseSettings):
    """Every variable; a field's description says what is allowed and is what an error quotes."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True, validate_default=True
    )

    mqtt_url: Annotated[str, _url("mqtt", "mqtts")] = Field(
        "mqtt://localhost:1883", description="mqtt://host[:port] or mqtts://host[:port]"
    )
    mqtt_topics: TopicFilters = Field(FILTERS, min_length=1, description="topic filters, separated by commas")
    mqtt_qos: Annotated[int, Field(ge=0, le=1)] = Field(
        1, description="1, or 0 where loss is acceptable (2 would acknowledge before a message is safe)"
    )
    mqtt_protocol: Literal["3.1.1", "5"] = Field("3.1.1", description="3.1.1 or 5")
    mqtt_client_id: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        "traksense-receiver",
        description="1 to 128 characters, the same after a restart, another for each receiver",
    )
    mqtt_shared_group: Annotated[str, Field(pattern=r"^[^/+#\x00]*$")] = Field(
        "", description="a name without /, + and #; receivers with the same name share the messages"
    )
    mqtt_retained: Annotated[Literal["store", "ignore"], Lower] = Field(
        "store",
        description="store or ignore: what becomes of retained messages that the broker sends at a subscription",
    )
    mqtt_username: str | None = Field(None, description="a user of the broker")
    mqtt_password: SecretStr | None = Field(None, description="that user's password")
    mqtt_tls_ca: Path | None = Field(None, description="the path of a PEM file: CAs to trust")
    mqtt_tls_cert: Path | None = Field(None, description="the path of a PEM file: the client's certificate")
    mqtt_tls_key: Path | None = Field(None, description="the path of a PEM file: that certificate's key")

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "redis://localhost:6379/0",
        description="redis://, rediss:// or unix://, redis+cluster://host:port,host:port or "
        "redis+sentinel://host:port,host:port/service (special characters of a password percent-encoded)",
    )
    ingest_shards: Annotated[int, Field(ge=1, le=SHARDS_MAX)] = Field(
        1, description=f"how many streams, 1 to {SHARDS_MAX}; the same for receivers and writers"
    )
    ingest_queue_max: Annotated[int, Field(ge=1)] = Field(
        50_000, description="the cap of a stream in entries, at least 1"
    )
    ingest_batch_size: Annotated[int, Field(ge=1, le=10_000)] = Field(800, description="messages a batch, 1 to 10000")
    ingest_batch_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(
        5, description="the longest a message waits for its batch to fill, 0 to 60000 ms"
    )
    ingest_max_deliveries: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="tries before an entry that makes the writer fail is dead-lettered, 1 to 1000"
    )
    ingest_claim_idle_ms: Annotated[int, Field(ge=100)] = Field(
        30_000, description="how long a writer is idle before its entries are claimed, at least 100 ms"
    )
    ingest_max_payload_bytes: Annotated[int, Field(ge=1, le=256 * 1024 * 1024)] = Field(
        1_048_576, description="the largest payload that is decoded, 1 to 268435456 bytes"
    )
    ingest_max_future_s: Annotated[int, Field(ge=0, le=10 * 365 * 86_400)] = Field(
        86_400, description="how far ahead of now a timestamp may be, 0 to 315360000 s"
    )
    ingest_max_rejected_share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="share of dead letters beyond which a writer stops, 0 to 1; empty: never"
    )
    ingest_ack_timeout_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = Field(
        60, description="seconds after which a command without an ACK is overdue, 1 to 604800"
    )
    ingest_mappings: str = Field(
        "",
        description="names of shipped mappings, or paths of files or folders, separated by commas; "
        "NAME?tenant=acme sets a variable of one",
    )
    ingest_durability: Annotated[Literal["auto", "memory", "aof"], Lower] = Field(
        "auto", description="auto, memory or aof"
    )
    ingest_replicas: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="how many Redis replicas must have a message before it is acknowledged, 0 to 100"
    )

    ingest_retention_days: Days = Field(
        None, description="days that telemetry is kept, 1 to 36500, at least 2 with INGEST_AGGREGATES; empty: for ever"
    )
    ingest_dlq_retention_days: Days = Field(
        None, description="days that dead letters are kept, replayed or not, 1 to 36500; empty: for ever"
    )
    ingest_compress_after_days: Days = Field(
        None,
        description="days until telemetry is compressed, 1 to 36500, fewer than INGEST_RETENTION_DAYS; empty: never",
    )
    ingest_aggregates: Aggregates = Field((), description="1m, 5m, 1h or several of them, separated by commas")

    database_url: PostgresUrl = Field(
        "postgresql://postgres:postgres@localhost:5432/traksense", description=_POSTGRES_FORM
    )
    migrate_database_url: PostgresUrl | None = Field(
        None, description="the same for `migrate`, past a connection pooler or as another role; empty: DATABASE_URL"
    )
    db_pool_min: Annotated[int, Field(ge=0, le=1000)] = Field(2, description="connections kept open, 0 to 1000")
    db_pool_max: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="connections at most, 1 to 1000, no fewer than DB_POOL_MIN"
    )

    metrics_host: str = Field("0.0.0.0", description="the address that /metrics listens on")  # noqa: S104
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = Field(
        None, description="a port, 0 to 65535 (0: any free one)"
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = Field(
        "INFO", description="debug, info, warning or error"
    )
    log_format: Annotated[Literal["text", "json"], Lower] = Field("text", description="text or json")


def load(kind: type[Settings] = Settings, /, **overrides: Any) -> Settings:
    """The settings of this process's environment; overrides are for a command's own options.

    Raises ConfigurationError with a line for each variable that is wrong.
    """
    try:
        settings = kind(**overrides)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]): detail.get("input") for detail in error.errors(include_url=False)}
        raise ConfigurationError("\n".join(_error_message(name, value) for name, value in wrong.items())) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env can't be read: {error}") from None
    _check_together(settings)
    return settings


class _LogFormat(BaseSettings):
    """The one variable that is needed to say that others are wrong."""

    model_config = Settings.model_config

    log_format: Annotated[str, Lower] = "text"


def log_format() -> Literal["text", "json"]:
    """LOG_FORMAT, also where other variables are wrong; text where it is wrong itself."""
    try:
        return "json" if _LogFormat().log_format == "json" else "text"
    except (OSError, ValueError):  # the file can't be read
        return "json" if os.environ.get("LOG_FORMAT", "").lower() == "json" else "text"


def unknown_variables() -> list[str]:
    """Variables of the environment that look like ours and aren't, each with what was probably meant."""
    known = [name.upper() for name in Settings.model_fields]
    unknown = [name for name in os.environ if name.startswith(("INGEST_", "MQTT_")) and name not in known]
    return [f"{name} (did you mean {', '.join(get_close_matches(name, known, 1)) or 'another'}?)" for name in unknown]


def redacted(url: str) -> str:
    """The URL without what may be secret in it, fit for a log line; also of text that was meant to be a URL."""
    text = _PASSWORD_PARAMETER.sub(r"\1***", _PEM.sub("***", url))
    scheme = match.group() if (match := _SCHEME.match(text)) else ""
    # Up to the last @: a password with an unencoded / or @ in it is what a wrong URL is most often about.
    user_info, at, rest = text[len(scheme) :].rpartition("@")
    if at:
        user, colon, _ = user_info.partition(":")
        return f"{scheme}{user}:***@{rest}" if colon else text
    return scheme + _NO_PORT.sub(r"\1:***", rest)


# Up to the next parameter that isn't secret: an & that isn't percent-encoded may be the password's.
_PASSWORD_PARAMETER = re.compile(r"(?is)(passw(?:or)?d\s*=).*?(?=&(?:host|port|user|username|dbname|db|ssl\w*)=|$)")
_PEM = re.compile(r"(?s)-----BEGIN .*")  # a key instead of its path
_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]*://")
_PORT = r"\d{1,5}(?:[/?#,]|$)"
# host:port without the host is user:password; of several hosts, any.
_NO_PORT = re.compile(rf"(?s)^((?:\[[0-9a-fA-F:.%]*\]|[^/\[:?#]|:(?={_PORT}))*):(?!{_PORT}).*")


def _check_together(settings: Settings) -> None:
    if settings.db_pool_min > settings.db_pool_max:
        raise ConfigurationError(_error_message("db_pool_max", settings.db_pool_max))
    _check_days(settings)
    if (settings.mqtt_tls_cert is None) != (settings.mqtt_tls_key is None):
        missing = "mqtt_tls_key" if settings.mqtt_tls_key is None else "mqtt_tls_cert"
        raise ConfigurationError(_error_message(missing, ""))
    for name in ("mqtt_tls_ca", "mqtt_tls_cert", "mqtt_tls_key"):
        path = getattr(settings, name)
        if path is not None and not os.path.isfile(path):  # of a text that is no path, Path.is_file raises
            raise ConfigurationError(_error_message(name, path))
    for names, files in _tls_files(settings):
        try:
            tls.check(files)
        except ConfigurationError as error:
            raise ConfigurationError(f"{names}: {redacted(str(error))}") from None


def _check_days(settings: Settings) -> None:
    kept, compressed = settings.ingest_retention_days, settings.ingest_compress_after_days
    if kept and compressed and compressed >= kept:
        raise ConfigurationError(_error_message("ingest_compress_after_days", compressed))
    if kept == 1 and settings.ingest_aggregates:
        raise ConfigurationError(_error_message("ingest_retention_days", kept))


def _tls_files(settings: Settings) -> Iterator[tuple[str, tls.Files]]:
    """Each set of TLS files, with the variables that name it."""
    mqtt = tls.Files(settings.mqtt_tls_ca, settings.mqtt_tls_cert, settings.mqtt_tls_key)
    yield "MQTT_TLS_CA, MQTT_TLS_CERT, MQTT_TLS_KEY", mqtt
    for variable, names in _TLS_PARAMETERS.items():
        if url := getattr(settings, variable):
            given = _parameters(url)
            yield variable.upper(), tls.Files(*map(given.get, names))


def _parameters(url: str) -> Mapping[str, str]:
    if url.lower().startswith("postgres"):
        return DatabaseUrl.parse(url).parameters
    return dict(parse_qsl(RedisUrl.parse(url).server.partition("?")[2]))


_POSTGRES_TLS = ("sslrootcert", "sslcert", "sslkey", "sslpassword")
_TLS_PARAMETERS = {  # of a URL: CAs, certificate, key and its password, by redis-py's and asyncpg's names
    "redis_url": ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    "database_url": _POSTGRES_TLS,
    "migrate_database_url": _POSTGRES_TLS,
}


def _error_message(name: str, value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    shown = "***" if "password" in name else redacted(text)
    return f"{name.upper()}={shown!r} is not allowed; allowed: {Settings.model_fields[name].description}"
