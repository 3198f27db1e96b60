"""What docker-compose.yml promises an operator who reads it for three minutes: ports, images, limits, restarts."""

from __future__ import annotations

import re
import tomllib

import pytest
from click.testing import CliRunner

from tests.support.compose import (
    DOCKERFILE,
    ONCE,
    OURS,
    ROOT,
    SCALED,
    SERVICES,
    TEXT,
    VERSION,
    each_of_ours,
    each_service,
)
from traksense_ingest.ops.cli import main
from traksense_ingest.shared.runtime.service import GRACE_S


@each_service
def test_only_the_loopback_is_published(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))
    assert SERVICES[name].get("network_mode") is None


def test_what_must_be_reached_is_published_and_nothing_else() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "devices": ["127.0.0.1:1883:1883"],
        "emqx": ["127.0.0.1:18083:18083"],
        "grafana": ["127.0.0.1:3000:3000"],
        "console": ["127.0.0.1:9180:9180"],
    }


@pytest.mark.parametrize("name", SCALED)
def test_what_is_scaled_has_nothing_that_only_one_can_have(name: str) -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES[name].keys()
    assert all(mounted.endswith(":ro") for mounted in SERVICES[name].get("volumes", []))
    assert "MQTT_CLIENT_ID" not in SERVICES[name]["environment"]


def test_a_receivers_client_id_is_its_replicas() -> None:
    receiver = SERVICES["receiver"]
    assert "--client-id-from-dns" in receiver["command"]
    assert receiver["environment"]["MQTT_SHARED_GROUP"]


@each_service
def test_each_image_is_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+", tag), tag


@each_of_ours
def test_our_image_has_our_version(name: str) -> None:
    assert SERVICES[name]["image"] == f"traksense-ingest:{VERSION}"
    assert f'org.opencontainers.image.version="{VERSION}"' in DOCKERFILE


@each_service
def test_each_is_watched_restarted_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["cpus"] > 0
    assert "no-new-privileges:true" in service["security_opt"]
    if name in SCALED:  # by the image
        assert "healthcheck" not in service
    elif name in (*ONCE, "simulate", "drain"):
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SCALED)
def test_a_service_has_time_to_finish_what_it_has_in_hand(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 2 * GRACE_S


@each_of_ours
def test_ours_ends_though_it_is_stopped_while_it_starts(name: str) -> None:
    assert SERVICES[name]["init"] is True


@each_of_ours
def test_ours_may_write_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]


def test_writers_wait_for_the_tables_and_their_role() -> None:
    assert SERVICES["writer"]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}
    assert SERVICES["roles"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert "timescaledb" not in SERVICES["receiver"]["depends_on"]


@each_of_ours
def test_each_command_is_one(name: str) -> None:
    command = [word for word in OURS[name]["command"] if word != "--help"]
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0


def test_what_is_mounted_out_of_this_repository_is_there() -> None:
    mounted = re.findall(r"- (\./deploy/[^:]+):|\"(\./deploy/[^:]+):", TEXT)
    paths = [first or second for first, second in mounted]
    assert len(paths) == 13
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_images_user_is_not_root() -> None:
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_images_base_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_the_image_has_every_package() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    folders = {entry.name for entry in (ROOT / "traksense_ingest").iterdir() if entry.is_symlink()}
    assert allowed == {*packages["packages"], *folders, "pyproject.toml", "README.md", "LICENSE"}
