"""The forms of REDIS_URL."""

from __future__ import annotations

import pytest

from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.streams.redis_url import Kind, RedisUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:p@h:6379/1?ssl=1", RedisUrl(Kind.SERVER, "redis://u:p@h:6379/1?ssl=1")),
        ("unix:///run/redis.sock", RedisUrl(Kind.SERVER, "unix:///run/redis.sock")),
        (
            "redis+cluster://u:p%40@n1:7000,n2",
            RedisUrl(Kind.CLUSTER, "redis://u:p%40@n1:7000/0", (Host("n1", 7000), Host("n2", 6379))),
        ),
        (
            "rediss+cluster://[::1]:7000,[fe80::2]/0?ssl_ca_certs=/ca.pem",
            RedisUrl(
                Kind.CLUSTER,
                "rediss://[::1]:7000/0?ssl_ca_certs=%2Fca.pem",
                (Host("::1", 7000), Host("fe80::2", 6379)),
            ),
        ),
        (
            "redis+sentinel://u:p@s1,s2:1/my%20master/3?sentinel_username=a&sentinel_password=b%26c",
            RedisUrl(
                Kind.SENTINEL, "redis://u:p@s1:26379/3", (Host("s1", 26379), Host("s2", 1)), "my master", "a", "b&c"
            ),
        ),
    ],
)
def test_forms(url: str, expected: RedisUrl) -> None:
    assert RedisUrl.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "redis://",
        "redis+cluster://",
        "redis+cluster://h/1",
        "redis+cluster://h:0",
        "redis+cluster://h:70000",
        "redis+cluster://h,",
        "redis+cluster://::1:7000",
        "redis+cluster://u:p/w@h:1",
        "redis+cluster://u:1?secret@h:1",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/service/x",
        "redis+sentinel://h/service/1/2",
        "redis+other://h",
        "unix+cluster://h",
    ],
)
def test_what_is_none_of_them(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (which the configuration turns into one line)
        RedisUrl.parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+cluster://u:s3cret@n1:1,n2:2", "redis+cluster://u:***@n1:1,n2:2"),
        (
            "redis+sentinel://s1:1,s2/name/0?sentinel_username=a&sentinel_password=s3cret",
            "redis+sentinel://s1:1,s2/name/0?sentinel_username=a&sentinel_password=***",
        ),
    ],
)
def test_without_its_passwords(url: str, shown: str) -> None:
    assert redacted(url) == shown
