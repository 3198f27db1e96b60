"""What a run is made of: whose servers, when Redis's file is on disk, how much load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.services import DEBIAN, EMBEDDED, Services
from traksense_ingest.ops.embedded import RedisServer, Server, free_port

FSYNCS = ("always", "everysec")
LAYOUTS = ("server", "cluster", "sentinel")  # of Redis
RATE = 200.0  # messages/s

# rumqttd has at most 100 messages in flight to a receiver, and with everysec each waits for up to a second: two
# receivers get 200 a second at the very most. Half of that leaves them room to recover.
_EMBEDDED_EVERYSEC_RATE = 100.0
_SEVERAL_SERVERS_RATE = 100.0  # each message is written by two servers, and passes two proxies more


@dataclass(frozen=True)
class Setup:
    """One of the ways to set the pipeline up. With `everysec` a PUBACK has to wait for WAITAOF. Debian's Redis, without
    it, may lose what it has answered, so the embedded Valkey takes its place."""

    services: Services
    fsync: str
    shared: bool  # the receivers form a group; else each has a tenant
    rate: float  # messages/s
    layout: str = "server"

    @property
    def redis_services(self) -> Services:
        """Those whose Redis it is."""
        return EMBEDDED if self.fsync == "everysec" else self.services

    @property
    def is_of_one_server(self) -> bool:
        """Whether Redis and PostgreSQL are one server each. Otherwise both have replicas."""
        return self.layout == "server"

    @property
    def writers(self) -> int:
        """How many there are."""
        return 2 if self.is_of_one_server else 3

    def redis(self, directory: Path) -> Server:
        """A Redis that isn't started yet."""
        if self.fsync == "everysec":
            return RedisServer(directory / "redis", free_port(), {"appendfsync": "everysec"})
        return self.services.redis(directory)

    @property
    def head(self) -> str:
        """In a line."""
        has_waitaof = self.redis_services is not DEBIAN
        redis = f"{'Valkey' if has_waitaof else 'Redis'}, {_IN_WORDS[self.layout]}appendfsync {self.fsync}"
        redis += ", WAITAOF" * has_waitaof
        redis += "" if self.is_of_one_server else "; PostgreSQL with a synchronous standby"
        receivers = "two receivers that share" if self.shared else "two receivers, one a tenant"
        writers = {2: "two", 3: "three"}[self.writers]
        return f"{self.services.name} servers; {redis}; {self.rate:g} messages/s; {receivers}; {writers} writers"


_IN_WORDS = {
    "server": "",
    "cluster": "a cluster of 3 masters with a replica each, ",
    "sentinel": "a master and a replica with 3 Sentinels, ",
}


def set_up(
    services: Services,
    random: Random,
    *,
    fsync: str | None = None,
    shared: bool = True,
    rate: float = RATE,
    layout: str = "server",
) -> Setup:
    """`random` decides on what is not given. Receivers share where the broker is Debian's."""
    drawn = random.choice(FSYNCS)  # also where it is given: the same seed, the same faults
    fsync = fsync or drawn
    if fsync == "everysec" and services is not DEBIAN:
        rate = min(rate, _EMBEDDED_EVERYSEC_RATE)
    if layout != "server":
        rate = min(rate, _SEVERAL_SERVERS_RATE)
    return Setup(services, fsync, shared and services is DEBIAN, rate, layout)
