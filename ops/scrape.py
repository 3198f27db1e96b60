"""The services' metrics and readiness, over HTTP. A service that does not answer is not an error, only unknown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from traksense_ingest.shared.ports import Port, metrics_ports, metrics_url
from traksense_ingest.shared.runtime.health_server import service_on

TIMEOUT_S = 2.0
HOST = "localhost"

Labels = frozenset[tuple[str, str]]

_direct = build_opener(ProxyHandler({}))  # the proxy of the environment is for the internet, not for the services


class Samples(dict[tuple[str, Labels], float]):
    """Every sample of a scrape, summed over the processes."""

    def value(self, name: str, default: float = 0.0, /, **labels: str) -> float:
        """The sample's value, or the default if there is none."""
        return self.get((name, frozenset(labels.items())), default)

    def buckets(self, name: str) -> dict[float, float]:
        """A histogram's cumulative counts, by upper bound."""
        counts = {dict(labels)["le"]: value for (sample, labels), value in self.items() if sample == f"{name}_bucket"}
        return dict(sorted((float(bound), count) for bound, count in counts.items()))


class Service(NamedTuple):
    """The processes of one kind, by the URLs of their metrics."""

    name: str
    urls: tuple[str, ...]

    async def samples(self) -> Samples | None:
        """The sum over all of them; None unless every one answers."""
        texts = [await asyncio.to_thread(_get, url) for url in self.urls]
        try:
            return _sum(text for status, text in texts if status == 200) if _all_answered(texts) else None
        except ValueError:  # another program listens there
            return None

    async def readiness(self) -> str:
        """`writer ready`, `writer not ready: database down` or `writer's metrics not reachable (URL)`, for each."""
        return ", ".join([await asyncio.to_thread(self._readiness, url) for url in self.urls])

    def _readiness(self, url: str) -> str:
        status, text = _get(urljoin(url, "/readyz"))
        match status, _components(text):
            case 200, _:
                return f"{self.name} ready"
            case 503, components:
                down = [f"{name} {state}" for name, state in components.items() if state != "up"]
                return f"{self.name} not ready: {', '.join(down) or 'its event loop is stuck'}"
        return f"{self.name}'s metrics not reachable ({url})"


def scrape(url: str) -> Samples | None:
    """One process's metrics; None if it doesn't answer."""
    status, text = _get(url)
    return _sum([text]) if status == 200 else None


def find_on_host(service: Port, metrics_port: int | None) -> str:
    """The URL of the metrics of this host's receiver or writer, wherever METRICS_PORT and the order in which they
    started have put it; if it doesn't answer, where it should be."""
    ports = metrics_ports(service, metrics_port)
    return metrics_url(next((port for port in ports if service_on(HOST, port) == service.process), ports[0]), HOST)


def _all_answered(texts: Iterable[tuple[int, str]]) -> bool:
    return all(status == 200 for status, _ in texts)


def _sum(texts: Iterable[str]) -> Samples:
    samples = Samples()
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                samples[key] = samples.get(key, 0.0) + sample.value
    return samples


def _components(text: str) -> dict[str, str]:
    try:
        return dict(json.loads(text)["components"])
    except (ValueError, KeyError, TypeError):
        return {}


def _get(url: str) -> tuple[int, str]:
    """Status and body; status 0 without an answer."""
    try:
        with _direct.open(url, timeout=TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except (OSError, HTTPException, ValueError):
        return 0, ""
