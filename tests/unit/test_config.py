"""Variables → settings, or one line that says which is wrong and what is allowed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traksense_ingest.shared import config
from traksense_ingest.shared.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in config.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_defaults() -> None:
    settings = config.load()
    assert settings.mqtt_url == "mqtt://localhost:1883"
    assert settings.mqtt_topics == ("traksense/+/+/+/telem", "traksense/+/+/+/ack", "traksense/+/+/+/event")
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.database_url == "postgresql://postgres:postgres@localhost:5432/traksense"
    assert (settings.mqtt_qos, settings.ingest_shards, settings.ingest_queue_max, settings.ingest_batch_size) == (
        1,
        1,
        50_000,
        800,
    )
    assert (settings.ingest_max_deliveries, settings.ingest_claim_idle_ms) == (5, 30_000)
    assert (settings.ingest_max_payload_bytes, settings.ingest_max_future_s) == (1_048_576, 86_400)
    assert (settings.db_pool_min, settings.db_pool_max, settings.ingest_durability) == (2, 8, "auto")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INGEST_SHARDS=2\nINGEST_BATCH_SIZE=10\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("INGEST_SHARDS", "3")
    settings = config.load()
    assert (settings.ingest_shards, settings.ingest_batch_size, settings.log_level) == (3, 10, "DEBUG")


def test_it_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.load().ingest_shards = 2


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("INGEST_BATCH_SIZE", "lots", "INGEST_BATCH_SIZE='lots' is not allowed; allowed: messages a batch, 1 to 10000"),
        ("INGEST_BATCH_SIZE", "0", "INGEST_BATCH_SIZE='0' is not allowed"),
        ("INGEST_SHARDS", "1.5", "INGEST_SHARDS='1.5' is not allowed"),
        ("MQTT_QOS", "2", "MQTT_QOS='2' is not allowed; allowed: 1, or 0"),
        ("MQTT_URL", "http://host", "MQTT_URL='http://host' is not allowed; allowed: mqtt://host"),
        ("MQTT_URL", "mqtt://host:port", "MQTT_URL='mqtt://host:***' is not allowed"),
        ("MQTT_PROTOCOL", "4", "MQTT_PROTOCOL='4' is not allowed; allowed: 3.1.1 or 5"),
        ("MQTT_TOPICS", "a/#/b", "MQTT_TOPICS='a/#/b' is not allowed; allowed: topic filters"),
        ("MQTT_TOPICS", "a+/b", "MQTT_TOPICS='a+/b' is not allowed"),
        ("MQTT_SHARED_GROUP", "a/b", "MQTT_SHARED_GROUP='a/b' is not allowed"),
        ("REDIS_URL", "localhost:6379", "REDIS_URL='localhost:6379' is not allowed"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "DATABASE_URL='mysql://u:***@h/d' is not allowed"),
        ("METRICS_PORT", "70000", "METRICS_PORT='70000' is not allowed"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT='xml' is not allowed; allowed: text or json"),
        ("INGEST_DURABILITY", "disk", "INGEST_DURABILITY='disk' is not allowed; allowed: auto, memory or aof"),
        ("DB_POOL_MAX", "1", "DB_POOL_MAX='1' is not allowed; allowed: connections at most"),
        (
            "INGEST_RETENTION_DAYS",
            "0",
            "INGEST_RETENTION_DAYS='0' is not allowed; allowed: days that telemetry",
        ),
        ("INGEST_DLQ_RETENTION_DAYS", "30d", "INGEST_DLQ_RETENTION_DAYS='30d' is not allowed"),
        ("INGEST_AGGREGATES", "1m,2m", "INGEST_AGGREGATES='2m' is not allowed; allowed: 1m, 5m, 1h or several"),
        ("MQTT_TLS_CA", "/no/such/file", "MQTT_TLS_CA='/no/such/file' is not allowed"),
        ("MQTT_TLS_CERT", "/no/such/file", "MQTT_TLS_KEY='' is not allowed"),
        (
            "MQTT_TLS_CA",
            __file__,
            f"MQTT_TLS_CA, MQTT_TLS_CERT, MQTT_TLS_KEY: {__file__}: [X509: NO_CERTIFICATE_OR_CRL",
        ),
        ("REDIS_URL", "rediss://h?ssl_ca_certs=/no/such", "REDIS_URL: /no/such: no such file"),
        ("REDIS_URL", f"rediss://h?ssl_keyfile={__file__}", f"REDIS_URL: {__file__}: a key without its certificate"),
        ("REDIS_URL", f"rediss://h?ssl_certfile={__file__}", f"REDIS_URL: {__file__} and its key: [SSL] PEM lib"),
        ("DATABASE_URL", "postgresql://h/d?sslrootcert=/no/such", "DATABASE_URL: /no/such: no such file"),
        ("DATABASE_URL", "postgresql://h/d?sslcert=/no/such", "DATABASE_URL: /no/such: no such file"),
        ("DATABASE_URL", "postgresql://u:1/secret@h/d", "DATABASE_URL='postgresql://u:***@h/d' is not allowed"),
        ("REDIS_URL", "redis://u:1?secret@h", "REDIS_URL='redis://u:***@h' is not allowed"),
        ("REDIS_URL", "redis://u:1#secret@h", "REDIS_URL='redis://u:***@h' is not allowed"),
        ("MQTT_TLS_KEY", "-----BEGIN PRIVATE KEY-----\n" + "secret" * 1000, "MQTT_TLS_CERT='' is not allowed"),
        ("MQTT_TLS_CA", "-----BEGIN PRIVATE KEY-----\n" + "secret" * 1000, "MQTT_TLS_CA='***' is not allowed"),
    ],
)
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        config.load()
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"RETENTION_DAYS": "7", "COMPRESS_AFTER_DAYS": "7"}, "INGEST_COMPRESS_AFTER_DAYS='7' is not allowed"),
        ({"RETENTION_DAYS": "1", "AGGREGATES": "1h"}, "INGEST_RETENTION_DAYS='1' is not allowed"),
    ],
)
def test_days_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], line: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"INGEST_{name}", value)
    with pytest.raises(ConfigurationError, match=line):
        config.load()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u:s3@cret@h/d", "postgresql://u:***@h/d"),
        ("redis://u:s3/cr@et@h:6379/0", "redis://u:***@h:6379/0"),
        ("redis://:s3cret@h:6379/0", "redis://:***@h:6379/0"),
        ("postgresql:///d?user=u&password=s3cret&host=/tmp", "postgresql:///d?user=u&password=***&host=/tmp"),
        ("postgresql://h/d?password=s3&cret&sslmode=require", "postgresql://h/d?password=***&sslmode=require"),
        ("postgresql://h/d?sslpassword=s3cret&passwd=s3cret", "postgresql://h/d?sslpassword=***"),
        ("host=h password = s3cret user=u", "host=h password =***"),
        ("u:s3cret@h:5432/d", "u:***@h:5432/d"),
        ("postgresql:/u:s3cret@h", "postgresql:***@h"),
        ("redis://u:s3cret", "redis://u:***"),
        ("redis://:s3cret", "redis://:***"),
        ("-----BEGIN PRIVATE KEY-----\ns3cret", "***"),
        ("mqtt://h:1883", "mqtt://h:1883"),
        ("mqtt://[::1]:1883", "mqtt://[::1]:1883"),
        ("postgresql://h:5432,i:5433/d?user=u", "postgresql://h:5432,i:5433/d?user=u"),
        ("redis://u@h:6379/0?db=1", "redis://u@h:6379/0?db=1"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert config.redacted(url) == shown


@given(st.text(), st.text(), st.sampled_from(["redis://", "mqtts://", "postgresql://", "redis:/", "redis//", ""]))
def test_whatever_a_password_is_made_of(before: str, after: str, scheme: str) -> None:
    assert "s3cret" not in config.redacted(f"{scheme}u:{before}s3cret{after}@h:1/d")
    assert "s3cret" not in config.redacted(f"{scheme}h:1/d?user=u&password={quote(before)}s3cret{quote(after)}")


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.unknown_variables() == []
    monkeypatch.setenv("INGEST_BATCHSIZE", "3")
    monkeypatch.setenv("INGEST_BATCH_SIZE", "3")
    assert config.unknown_variables() == ["INGEST_BATCHSIZE (did you mean INGEST_BATCH_SIZE?)"]
