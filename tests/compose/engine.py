"""The Docker engine of this machine, and whether it has what the tests of docker-compose.yml need."""

from __future__ import annotations

import re
import shutil
import subprocess

from tests.compose.project import ROOT
from traksense_ingest.ops.embedded.debian import DebianPostgres, Mosquitto

COMPOSE = (2, 24, 4)  # understands !reset and !override
(BASE,) = {*re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)}
SLOW_S = 300.0  # an image is copied for each container where the engine has no better storage


def lacking() -> str:
    """What this machine lacks, or nothing."""
    if not (shutil.which("docker") and docker("info")):
        return "no Docker engine answers here"
    version = docker("compose", "version", "--short")
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < COMPOSE:  # () where there is none
        return "docker compose is not installed here, or older than 2.24.4"
    if not docker("image", "inspect", BASE):
        return f"the engine has no image {BASE}: pull it, or import another under its name"
    absent = [name for name in ("redis-cli", "prometheus", "wget", "haproxy") if not shutil.which(name)]
    absent += [kind.__name__ for kind in (Mosquitto, DebianPostgres) if not kind.installed()]
    return f"not installed here: {', '.join(absent)}" if absent else ""


def docker(*words: str) -> str:
    """What it says, nothing where it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
