"""What docker-compose.yml promises an operator who reads it for three minutes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ops.cli import main
from shared import config
from shared.config import Settings
from shared.service import GRACE_S
from tests.support.handbook import DOCS, blocks

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
OPTIONAL = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGES = [ROOT / "docker-compose.yml", ROOT / ".env.example", ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SCALED = ("receiver", "writer")
ONCE = ("migrate", "roles", "ops")
REQUIRED = re.compile(r"\$\{([A-Z_]+):\?cp \.env\.example \.env and fill it in\}")
DEFAULTED = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    else:
        yield str(value)


@each_service
def test_only_the_loopback_is_published(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))
    assert SERVICES[name].get("network_mode") is None


def test_what_must_be_reached_is_published_and_nothing_else() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "emqx": ["127.0.0.1:1883:1883", "127.0.0.1:18083:18083"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


@pytest.mark.parametrize("name", SCALED)
def test_what_is_scaled_has_nothing_that_only_one_can_have(name: str) -> None:
    assert not {"ports", "container_name", "hostname", "volumes"} & SERVICES[name].keys()
    assert "MQTT_CLIENT_ID" not in SERVICES[name]["environment"]


@pytest.mark.parametrize(("name", "number"), [("receiver", "RECEIVERS"), ("writer", "WRITERS")])
def test_an_up_without_scale_keeps_as_many_as_there_should_be(name: str, number: str) -> None:
    assert SERVICES[name]["scale"] == f"${{{number}:-1}}"  # without it, each `up` goes back to one


def test_each_up_that_is_documented_scales_all_or_nothing() -> None:
    ups = [line for page in PAGES for line in re.findall(r"docker compose(?: [^\n`]+)? up[^\n`]*", page.read_text())]
    assert len(ups) > 5
    for up in ups:
        assert "--no-recreate" not in up
        assert {*re.findall(r"--scale (\w+)=", up)} in (set(), {*SCALED}), up


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
    elif name in (*ONCE, "simulate"):
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SCALED)
def test_a_service_has_time_to_finish_what_it_has_in_hand(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 2 * GRACE_S


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


def test_each_variable_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"\$\{?([A-Z_]+)", TEXT))
    assert used == {*EXAMPLE, *OPTIONAL}


def test_each_use_of_a_variable_has_its_message_or_the_examples_default() -> None:
    assert "$" not in DEFAULTED.sub("", REQUIRED.sub("", TEXT))
    assert set(REQUIRED.findall(TEXT)) == {name for name, value in EXAMPLE.items() if not value}
    defaults = {name: value for name, value in EXAMPLE.items() if value} | dict.fromkeys(OPTIONAL, "")
    assert dict(DEFAULTED.findall(TEXT)) == defaults


@each_of_ours
def test_each_variable_of_ours_is_one_that_we_know(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert set(OURS[name].get("environment", {})) <= known


@each_of_ours
def test_each_value_of_ours_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for key, value in OURS[name].get("environment", {}).items():
        monkeypatch.setenv(key, filled(str(value)))
    config.load()


@each_of_ours
def test_each_command_is_one(name: str) -> None:
    command = [word for word in OURS[name]["command"] if word != "--help"]
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0


def test_no_password_is_written_down() -> None:
    for line in TEXT.splitlines():
        if match := re.search(r"(?:PASSWORD|COOKIE): (.*)$", line):
            assert match[1].startswith("${"), line
    for text in strings(COMPOSE):
        for password in re.findall(r"://\w+:([^@]*)@", text):
            assert REQUIRED.fullmatch(password), text
    assert not {name: value for name, value in EXAMPLE.items() if name.endswith(("PASSWORD", "COOKIE")) and value}


def test_the_examples_passwords_are_filled_in_as_it_says(tmp_path: Path) -> None:
    if not (shutil.which("perl") and shutil.which("openssl")):
        pytest.skip("perl and openssl are not installed here")
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env.example").write_text(example)
    (command,) = re.findall(r"^# +(perl .*)$", example, re.MULTILINE)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    made = dict(re.findall(r"^([A-Z_]+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    passwords = [made[name] for name, value in EXAMPLE.items() if not value]
    assert made.keys() == EXAMPLE.keys()
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert len(set(passwords)) == len(passwords)


def test_redis_has_the_users_of_the_handbook() -> None:
    users = {line.split()[1]: line for line in COMPOSE["configs"]["redis-users"]["content"].splitlines()}
    (page,) = blocks("redis")
    for name in ("receiver", "writer"):
        assert REQUIRED.sub("PASSWORD", users[name]) in page.splitlines()
    everything = {rule for rule in re.sub(r"\(.*?\)", "", page).split() if rule[0] in "+~"}
    assert {rule for rule in users["operator"].split() if rule[0] in "+~"} == everything
    (looker,) = re.findall(r"^\$ redis-cli ACL SETUSER (.*)$", (DOCS / "redis-cli.md").read_text(), re.MULTILINE)
    assert REQUIRED.sub("PASSWORD", users["looker"]).split()[1:] == shlex.split(looker)
    assert users["default"] == "user default on nopass resetkeys resetchannels nocommands +ping"


def test_redis_keeps_what_it_has() -> None:
    lines = (ROOT / "deploy/redis/redis.conf").read_text().splitlines()
    directives = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert directives["appendonly"] == "yes"
    assert directives["appendfsync"] == "always"
    assert directives["maxmemory-policy"] == "noeviction"
    assert directives["maxmemory"] == "1gb"
    assert SERVICES["redis"]["mem_limit"] == "2g"
    assert not [value for value in directives.values() if "#" in value]  # Redis knows no comment behind a value


def test_emqx_has_the_rules_of_the_handbook() -> None:
    (page,) = blocks("erlang")
    rules = [line for line in (ROOT / "deploy/emqx/acl.conf").read_text().splitlines() if not line.startswith("%%")]
    assert [rule for rule in rules if "operator" not in rule] == page.splitlines()


def test_what_is_mounted_out_of_this_repository_is_there() -> None:
    mounted = re.findall(r"- (\./deploy/[^:]+):|\"(\./deploy/[^:]+):", TEXT)
    paths = [first or second for first, second in mounted]
    assert len(paths) == 8
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
    assert allowed == {*packages["packages"], "pyproject.toml", "README.md", "LICENSE"}


def test_docker_compose_understands_it(tmp_path: Path) -> None:
    if not has_compose():
        pytest.skip("docker compose 2 is not installed here")
    (tmp_path / ".env").write_text("".join(f"{name}={value or 'x'}\n" for name, value in EXAMPLE.items()))
    checked = compose("--env-file", str(tmp_path / ".env"), "--profile", "*", "config", "-q")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_docker_compose_says_what_to_do_without_an_env_file(tmp_path: Path) -> None:
    if not has_compose():
        pytest.skip("docker compose 2 is not installed here")
    (tmp_path / ".env").write_text("")
    checked = compose("--env-file", str(tmp_path / ".env"), "config", "-q")
    assert checked.returncode != 0
    assert "cp .env.example .env and fill it in" in checked.stderr


def filled(value: str) -> str:
    """What docker compose makes of it."""
    return DEFAULTED.sub(lambda match: match[2], REQUIRED.sub("password", value))


def has_compose() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def compose(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", "--project-directory", str(ROOT), "-f", str(ROOT / "docker-compose.yml"), *words]
    clean = {name: value for name, value in os.environ.items() if name not in EXAMPLE}
    print(shlex.join(command))
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
