"""DATABASE_URL, as libpq reads it."""

from __future__ import annotations

import pytest

from traksense_ingest.shared import config
from traksense_ingest.shared.database_url import DatabaseUrl, Host
from traksense_ingest.shared.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "hosts", "session"),
    [
        ("postgresql://u:p@h/d", [("h", 5432)], "any"),
        ("postgresql://u@a:5432,b:5433/d?target_session_attrs=any", [("a", 5432), ("b", 5433)], "any"),
        ("postgresql://u@a:1,b/d", [("a", 1), ("b", 5432)], "read-write"),
        ("postgresql://a,b", [("a", 5432), ("b", 5432)], "read-write"),
        ("postgres://[::1]:5432/d", [("::1", 5432)], "any"),
        ("postgresql://u:p@[::1],[fe80::1%25eth0]:5433,c:1/d", [("::1", 5432), ("fe80::1%eth0", 5433), ("c", 1)], None),
        ("postgresql:///d?host=a,b&port=1,2", [("a", 1), ("b", 2)], "read-write"),
        ("postgresql:///d?host=a,b&port=7", [("a", 7), ("b", 7)], "read-write"),
        ("postgresql:///d?host=a,b", [("a", 5432), ("b", 5432)], "read-write"),
        ("postgresql:///d?host=::1,/tmp", [("::1", 5432), ("/tmp", 5432)], "read-write"),
        ("postgresql://%2Fvar%2Frun:5433/d", [("/var/run", 5433)], "any"),
        ("postgresql://%2Fvar%2Frun,h:5433/d", [("/var/run", 5432), ("h", 5433)], "read-write"),
        ("postgresql:///d?host=/tmp&target_session_attrs=primary", [("/tmp", 5432)], "primary"),
        ("postgresql://:5433/d", [("localhost", 5433)], "any"),
        ("postgresql:///d?port=5433", [("localhost", 5433)], "any"),
        ("postgresql:///d", [], "any"),
        ("postgresql://a/d?host=b", [("b", 5432)], "any"),
    ],
)
def test_hosts(url: str, hosts: list[tuple[str, int]], session: str | None) -> None:
    target = DatabaseUrl.parse(url)
    assert list(target.hosts) == hosts
    assert session in (None, target.session)
    assert DatabaseUrl.parse(target.rest + "?dbname=d" * (target.rest == "postgresql://")).hosts == ()


def test_the_rest_is_as_it_was() -> None:
    target = DatabaseUrl.parse("postgresql://u:p%40%2C@a,b/d%20e?password=a+b%26c&connect_timeout=3&sslmode=&x=y")
    assert target.rest == "postgresql://u:p%40%2C@/d%20e?password=a%2Bb%26c&x=y"
    assert (target.parameters, target.timeout) == ({"password": "a+b&c", "x": "y"}, 3)
    assert [str(host) for host in (Host("a", 1), Host("::1", 2))] == ["a:1", "[::1]:2"]
    assert DatabaseUrl.parse("postgresql://h?connect_timeout=0").timeout is None


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:s3cret@h/d",
        "host=h password=s3cret",
        "postgresql://",
        "postgresql:///",
        "postgresql://u:s3cret@a,,b/d",
        "postgresql://u:s3cret@a,/d",
        "postgresql://u:s3cret@a:x,b/d",
        "postgresql://u:s3cret@a:70000/d",
        "postgresql://u:s3@cret@h/d",
        "postgresql://u:s3/cret@h/d",
        "postgresql://u:s3?cret@h/d",
        "postgresql://u:s3#cret@h/d",
        "postgresql://[::1/d?password=s3cret",
        "postgresql:///d?host=a,b&port=1,2,3&password=s3cret",
        "postgresql://a,b/d?target_session_attrs=read&password=s3cret",
        "postgresql://h/d?password=s3cret&connect_timeout=soon",
        "postgresql://h/d?sslmode&password=s3cret",
    ],
)
def test_what_libpq_would_not_take_is_one_line_that_shows_the_form(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for variable in ("DATABASE_URL", "MIGRATE_DATABASE_URL"):
        monkeypatch.setenv(variable, url)
        with pytest.raises(ConfigurationError) as raised:
            config.load()
        assert str(raised.value).startswith(f"{variable}=")
        assert "\n" not in str(raised.value)
        assert "cret" not in str(raised.value).replace("MIGRATE_", "")
        monkeypatch.delenv(variable)


def test_the_form_has_several_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a,,b/d")
    with pytest.raises(ConfigurationError, match=r"allowed: postgresql://user.*host:port,host:port/database"):
        config.load()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@a:5432,[::1]:5433/d", "postgresql://u:***@a:5432,[::1]:5433/d"),
        ("postgresql://a:5432,b:s3cret/d", "postgresql://a:5432,b:***"),
        ("postgresql://[::1]:5432,b:s3cret", "postgresql://[::1]:5432,b:***"),
        ("postgresql://[::1]:s3cret", "postgresql://[::1]:***"),
        ("postgresql://a:5432,[::1]:5433/d", "postgresql://a:5432,[::1]:5433/d"),
        ("postgresql://%2Ftmp:5433,b/d", "postgresql://%2Ftmp:5433,b/d"),
        ("postgresql:///d?host=a,b&password=s3,cret&port=1,2", "postgresql:///d?host=a,b&password=***&port=1,2"),
        (
            "postgresql:///d?password=s3&cret&target_session_attrs=any",
            "postgresql:///d?password=***",
        ),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert config.redacted(url) == shown
