"""The variables and passwords of docker-compose.yml, and .env.example, which has all of them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.compose import (
    COMPOSE,
    DEFAULTED,
    EXAMPLE,
    OPTIONAL,
    OURS,
    REQUIRED,
    ROOT,
    SERVICES,
    TEXT,
    each_of_ours,
    strings,
)
from tests.support.handbook import DOCS
from traksense_ingest.ops.cli import main
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.messages import ALL_FILTERS

PAGES = [ROOT / "docker-compose.yml", ROOT / ".env.example", *ROOT.glob("README*.md"), *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize(("name", "number"), [("receiver", "RECEIVERS"), ("writer", "WRITERS")])
def test_an_up_without_scale_keeps_as_many_as_there_should_be(name: str, number: str) -> None:
    assert SERVICES[name]["scale"] == f"${{{number}:-1}}"  # without it, each `up` goes back to one


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_line_that_the_next_one_undoes(page: Path) -> None:
    """A number or a profile that is said on one command line is another one for the next."""
    assert not re.findall(r"^.*--(?:scale|profile|no-recreate)\b.*$", page.read_text(), re.MULTILINE)


def test_the_readme_changes_the_env_file_as_it_says(tmp_path: Path) -> None:
    if not shutil.which("perl"):
        pytest.skip("perl is not installed here")
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^    (perl .* \.env)$", readme, re.MULTILINE)
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    made = dict(re.findall(r"^([A-Z_]+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert made == EXAMPLE | {"RECEIVERS": "2", "WRITERS": "2", "COMPOSE_PROFILES": "demo"}


@pytest.mark.parametrize("name", [name for name, value in EXAMPLE.items() if not value])
def test_a_password_follows_the_file_or_the_file_says_how(name: str) -> None:
    """Either nothing keeps it but the containers that have it in their variables, or a server has it in a volume."""
    kept = {"POSTGRES_PASSWORD", "EMQX_DASHBOARD_PASSWORD", "GRAFANA_PASSWORD"} | {
        each for each in EXAMPLE if each.startswith("MQTT_")
    }
    explained = re.findall(r"^#   ([A-Z_…]+) +\S", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert any(re.fullmatch(each.replace("…", "[A-Z]+"), name) for each in explained) == (name in kept)
    assert any(name in text for service in SERVICES.values() for text in strings(service.get("environment", {})))


def test_each_variable_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"\$\{?([A-Z_]+)", TEXT))
    assert used == {*EXAMPLE, *OPTIONAL}


def test_each_use_of_a_variable_has_its_message_or_the_examples_default() -> None:
    assert "$" not in DEFAULTED.sub("", REQUIRED.sub("", TEXT))
    assert set(REQUIRED.findall(TEXT)) == {name for name, value in EXAMPLE.items() if not value}
    defaults = {name: value for name, value in EXAMPLE.items() if value} | dict.fromkeys(OPTIONAL, "")
    assert dict(DEFAULTED.findall(TEXT)) == defaults


def test_topics_are_the_same_for_all_who_need_them() -> None:
    having = {name for name, service in OURS.items() if "MQTT_TOPICS" in service.get("environment", {})}
    assert having == {"receiver", "ops", "simulate"}
    assert len({OURS[name]["environment"]["MQTT_TOPICS"] for name in having}) == 1


def test_the_topics_of_the_example_are_those_of_all_kinds() -> None:
    (topics,) = re.findall(r"^#MQTT_TOPICS=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert tuple(topics.split(",")) == ALL_FILTERS


@each_of_ours
def test_each_variable_of_ours_is_one_that_we_know(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    if name == "console":
        known |= {str(option.envvar) for option in main.commands["console"].params}
    assert set(OURS[name].get("environment", {})) <= known


@each_of_ours
def test_each_value_of_ours_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for key, value in OURS[name].get("environment", {}).items():
        monkeypatch.setenv(key, filled(str(value)))
    config.load()


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
