"""Whether `validate` says that the host, not the pipeline, missed a target."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from traksense_ingest.ops.validate.diagnosis import Host, Reading, between, read_host

CALM = Host(cpus=2, share=0.98, busy=0.9, stolen=0.0, throttled=0.0, quiet_busy=0.1)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (CALM, ""),
        (CALM._replace(quiet_busy=None), ""),
        (
            CALM._replace(share=0.4, busy=1.0),
            "; this host may be why: validate itself got 40% of the CPU time that it could have used, 2 CPUs 100% busy",
        ),
        (CALM._replace(quiet_busy=0.97), "; this host may be why: 2 CPUs 97% busy while nothing was published"),
        (CALM._replace(cpus=1, quiet_busy=1), "; this host may be why: 1 CPU 100% busy while nothing was published"),
        (CALM._replace(stolen=0.35), "; this host may be why: 35% of it taken by other guests (steal)"),
        (
            CALM._replace(throttled=0.5),
            "; this host may be why: throttled for 50% of the time by this container's CPU limit",
        ),
    ],
)
def test_what_it_says(host: Host, said: str) -> None:
    assert host.reason == said
    assert json.loads(json.dumps(host.as_dict()))["share"] == host.share


def test_shares_between_two_readings() -> None:
    before = Reading(at=10.0, ran=1.0, waited=1.0, throttled=0.0, total=1000, idle=500, stolen=10)
    after = Reading(at=12.0, ran=1.5, waited=2.5, throttled=0.5, total=1400, idle=600, stolen=50)
    host = between(before, after)
    assert host[1:] == (0.25, 0.75, 0.1, 0.25, None)
    assert between(before, before).reason == ""


def test_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "schedstat").write_text("2500000000 500000000 77\n")
    (tmp_path / "stat").write_text("cpu  100 2 30 400 50 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 9\nnr_throttled 3\nthrottled_usec 1500000\n")
    reading = read_host(tmp_path, tmp_path)
    assert reading
    assert reading[1:] == (2.5, 0.5, 1.5, 603, 450, 8)
    (tmp_path / "cpu.stat").unlink()
    unlimited = read_host(tmp_path, tmp_path)
    assert unlimited
    assert unlimited[1:] == reading._replace(throttled=0.0)[1:]
    (tmp_path / "self" / "schedstat").unlink()
    assert read_host(tmp_path, tmp_path) is None


def burn() -> None:
    while True:
        pass


@pytest.fixture
def crowd() -> Iterator[None]:
    """Programs that leave this one little of the CPUs."""
    burning = [
        multiprocessing.get_context("spawn").Process(target=burn, daemon=True) for _ in range(4 * (os.cpu_count() or 1))
    ]
    for process in burning:
        process.start()
    yield
    for process in burning:
        process.kill()
        process.join()


@pytest.mark.skipif(read_host() is None, reason="no Linux")
def test_a_busy_host_is_recognized_by_its_kernels_figures(crowd: None) -> None:
    before = read_host()
    assert before
    after = before
    while after.ran - before.ran < 0.3 or after.waited - before.waited < 0.3:
        after = read_host() or before
    assert between(before, after).busy > 0.5
