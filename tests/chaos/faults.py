"""The faults, each with the sign that it took effect, and which of them a run inflicts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from random import Random

from tests.chaos.console.faults import KILLED
from tests.chaos.fault import DOWN, Fault, of_link, receivers
from tests.chaos.inflict import (
    altered,
    ended,
    killed,
    machine_lost,
    meanwhile,
    promoted,
    receiver_frozen,
    refusing,
    writer_frozen,
)
from tests.chaos.pipeline import CLAIM_IDLE_MS, ROLE, Pipeline
from tests.chaos.redis_faults import OF_REDIS
from tests.chaos.service import Service
from tests.chaos.signs import counted, logged_by_database
from traksense_ingest.ops.embedded import Server

Choose = Callable[[Sequence[Fault], Random], Sequence[Fault]]  # the faults of a run, and their order

FREEZE_S = 2.5 * CLAIM_IDLE_MS / 1000  # beyond the time after which others take its entries


def all_faults(pipeline: Pipeline) -> list[Fault]:
    """Those that can be inflicted on this pipeline."""
    return [
        fault
        for fault in (*FAULTS, *OF_REDIS[pipeline.streams.layout])
        if (pipeline.broker_survives or not fault.ends_broker)
        and (pipeline.pooler or not fault.ends_pooler)
        and (pipeline.visitor or not fault.of_console)
    ]


# What a wrong order of steps – PUBACK before the append, XACK before COMMIT – and a lost claim can't survive.
DECISIVE = (
    "redis: down; receiver: kill -9",
    "database: down; writer: kill -9",
    "writer: frozen, wakes up",
    "all but the broker: kill -9",
    KILLED.name,
)
PROMOTION = "database: failover to a standby, and back"
DECISIVE_NODES = (
    "cluster: master, kill -9",
    "cluster: master frozen, wakes up",
    "sentinel: master, kill -9",
    PROMOTION,
)


def short_form(faults: Sequence[Fault], random: Random) -> Sequence[Fault]:
    """A dozen, in random order: the decisive ones, and others that are over soon."""
    decisive = [fault for fault in faults if fault.name in DECISIVE]
    others = [fault for fault in faults if fault.name not in DECISIVE and not fault.is_slow]
    chosen = [*decisive, *random.sample(others, min(len(others), 12 - len(decisive)))]
    random.shuffle(chosen)
    return chosen


def short_form_of_nodes(faults: Sequence[Fault], random: Random) -> Sequence[Fault]:
    """The decisive ones, and one more of Redis's own, in random order."""
    decisive = [fault for fault in faults if fault.name in DECISIVE_NODES]
    own = [fault for fault in faults if fault in (*OF_REDIS["cluster"], *OF_REDIS["sentinel"])]
    others = [fault for fault in own if fault not in decisive]
    chosen = [*decisive, *random.sample(others, min(len(others), 1))]
    random.shuffle(chosen)
    return chosen


def every(faults: Sequence[Fault], random: Random, times: int) -> Sequence[Fault]:
    """All of them, so many times, in random order."""
    chosen = list(faults) * times
    random.shuffle(chosen)
    return chosen


_REFUSING_TRIGGER = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION refuse()"""


def _writers(pipeline: Pipeline) -> list[Service]:
    return pipeline.writers


def _broker(pipeline: Pipeline) -> Server:
    return pipeline.broker


def _database(pipeline: Pipeline) -> Server:
    return pipeline.postgres


def _pooler(pipeline: Pipeline) -> Server:
    assert pipeline.pooler is not None
    return pipeline.pooler


_BROKER_DOWN, _DATABASE_DOWN = DOWN["broker"], DOWN["database"]

FAULTS = (
    KILLED,
    Fault("receiver: kill -9", killed(receivers)),
    Fault("receiver: frozen", receiver_frozen),
    Fault("writer: kill -9", killed(_writers)),
    Fault("writer: frozen, wakes up", writer_frozen, counted("ingest_redeliveries_total"), FREEZE_S),
    Fault("database: kill -9", ended(_database, signal.SIGKILL), _DATABASE_DOWN, shown="database"),
    Fault("database: stopped (fast)", ended(_database, signal.SIGINT), _DATABASE_DOWN, shown="database"),
    Fault("database: stopped (immediate)", ended(_database, signal.SIGQUIT), _DATABASE_DOWN, shown="database"),
    Fault(
        "database: read-only (25006)",
        altered(
            f"ALTER ROLE {ROLE} SET default_transaction_read_only = on",
            f"ALTER ROLE {ROLE} RESET default_transaction_read_only",
        ),
        _DATABASE_DOWN,  # of several hosts, none is taken that is read-only
        shown="database",
    ),
    Fault(
        "database: no connections (53300)",
        altered(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0", f"ALTER ROLE {ROLE} CONNECTION LIMIT -1"),
        logged_by_database("too many connections for role"),
        shown="database",
    ),
    Fault(
        "database: statements time out",
        altered(
            f"ALTER ROLE {ROLE} SET statement_timeout = '1ms'",
            f"ALTER ROLE {ROLE} RESET statement_timeout",
        ),
        logged_by_database("canceling statement due to statement timeout"),
        shown="database",
    ),
    Fault("broker: kill -9", ended(_broker, signal.SIGKILL), _BROKER_DOWN, ends_broker=True, shown="broker"),
    Fault("broker: stopped", ended(_broker, signal.SIGTERM), _BROKER_DOWN, ends_broker=True, shown="broker"),
    *of_link("broker", is_slow=True),
    *of_link("database", is_slow=True),
    Fault("all but the broker: kill -9", machine_lost, shown="redis"),
    Fault(
        "database: down; writer: kill -9",
        meanwhile(ended(_database, signal.SIGINT), killed(_writers)),
        _DATABASE_DOWN,
        lasts_s=1.0,
        shown="database",
    ),
    Fault(
        "database: down; receiver: kill -9",
        meanwhile(ended(_database, signal.SIGINT), killed(receivers)),
        _DATABASE_DOWN,
        lasts_s=3.0,
        shown="database",
    ),
    Fault("pooler: kill -9", ended(_pooler, signal.SIGKILL), _DATABASE_DOWN, ends_pooler=True, shown="database"),
    Fault("pooler: restarted", ended(_pooler, signal.SIGTERM), _DATABASE_DOWN, lasts_s=0.5, ends_pooler=True),
    Fault(PROMOTION, promoted, _DATABASE_DOWN, is_slow=True),
    Fault(
        "database: INSERT revoked",
        refusing(f"REVOKE INSERT ON ts_measure FROM {ROLE}", f"GRANT INSERT ON ts_measure TO {ROLE}"),
        _DATABASE_DOWN,
        shown="database",
    ),
    Fault(
        "database: table renamed",
        refusing("ALTER TABLE ts_measure RENAME TO gone", "ALTER TABLE gone RENAME TO ts_measure"),
        _DATABASE_DOWN,
        shown="database",
    ),
    Fault(
        "database: column renamed",
        refusing("ALTER TABLE ts_measure RENAME unit TO units", "ALTER TABLE ts_measure RENAME units TO unit"),
        _DATABASE_DOWN,
        shown="database",
    ),
    Fault(
        "database: a NOT NULL column",
        refusing(
            "ALTER TABLE ts_measure ADD plant text NOT NULL DEFAULT ''; "
            "ALTER TABLE ts_measure ALTER plant DROP DEFAULT",
            "ALTER TABLE ts_measure DROP plant",
        ),
        _DATABASE_DOWN,
        shown="database",
    ),
    Fault(
        "database: a trigger refuses all",
        refusing(_REFUSING_TRIGGER, "DROP FUNCTION refuse CASCADE"),
        _DATABASE_DOWN,
        shown="database",
    ),
)
