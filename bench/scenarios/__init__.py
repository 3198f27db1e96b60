"""Each scenario: what is measured, and how."""

from bench.scenario import Scenario
from bench.scenarios.console import CONSOLE
from bench.scenarios.database import DATABASE
from bench.scenarios.decode import DECODE
from bench.scenarios.end_to_end import END_TO_END
from bench.scenarios.growth import GROWTH
from bench.scenarios.latency import LATENCY
from bench.scenarios.latest import LATEST
from bench.scenarios.peers import PEERS
from bench.scenarios.receiver import RECEIVER
from bench.scenarios.redis import REDIS
from bench.scenarios.scale_out import SCALE_OUT
from bench.scenarios.shape import SHAPE
from bench.scenarios.writer import WRITER

_ALL = (
    END_TO_END,
    RECEIVER,
    WRITER,
    LATENCY,
    LATEST,
    GROWTH,
    SHAPE,
    DECODE,
    SCALE_OUT,
    REDIS,
    DATABASE,
    CONSOLE,
    PEERS,
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
