"""Who gets into the console: users, sessions, hosts, wrong passwords, and files that others can read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from traksense_ingest.ops.console.add_user import add_user
from traksense_ingest.ops.console.command import console
from traksense_ingest.ops.console.guard import attempts, sessions
from traksense_ingest.ops.console.guard.attempts import Attempts, TooMany
from traksense_ingest.ops.console.guard.hosts import is_allowed, is_loopback
from traksense_ingest.ops.console.guard.private import is_private, write_private
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import Sessions
from traksense_ingest.ops.console.guard.users import User, logged_in, read_users
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.pages.login import _own
from traksense_ingest.shared.errors import ConfigurationError

ANA = User.with_password("ana", Role.VIEWER, "correct horse")


class Clock:
    """Monotonic, as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text(f"# operators\n\n{ANA.line()}\n")
    users = read_users(path)
    assert users == {"ana": ANA}
    assert logged_in(users, "ana", "correct horse") == ANA
    assert logged_in(users, "ana", "correct hors") is None
    assert logged_in(users, "", "") is None
    assert "correct horse" not in path.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "ana",
        "ana:viewer:correct horse",
        ANA.line().replace("viewer", "owner"),
        ANA.line().replace("ana:", "a a:"),
        ANA.line().replace("$32768$", "$32767$"),
        ANA.line().replace("$32768$", f"${2**30}$"),
        ANA.line()[:-3],
        f"{ANA.line()}\n{ANA.line()}",
        "",
    ],
    ids=range(9),
)
def test_a_wrong_line_is_named_and_no_secret_is_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(ConfigurationError) as raised:
        read_users(path)
    assert f"--users {path}: " in str(raised.value)
    assert "line" in str(raised.value) or "no users" in str(raised.value)
    assert "correct horse" not in str(raised.value)


def test_others_can_not_read_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("old")
    path.chmod(0o644)
    assert not is_private(path)
    write_private(path, "new", "--users")
    assert (path.stat().st_mode & 0o777, path.read_text(), is_private(path)) == (0o640, "new", True)
    with pytest.raises(ConfigurationError, match=r"--users .*nowhere.*: No such file"):
        write_private(tmp_path / "nowhere" / "users.txt", "", "--users")


def test_a_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("old")
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 10001, 10002)
    before = path.stat()
    write_private(path, "new", "--users")
    now = path.stat()
    assert path.read_text() == "new"
    assert (now.st_uid, now.st_gid, now.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_a_user_is_added_to_a_file_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("# operators\n")
    for role in ("viewer", "operator"):
        done = CliRunner().invoke(
            console, ["user", "ana", "--users", str(path), "--role", role], input="correct horse\n"
        )
        assert done.exit_code == 0, done.output
    assert path.read_text().startswith("# operators\nana:operator:")
    assert list(read_users(path)) == ["ana"]


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=f"--users {path}: "):
        add_user("ana", path, "viewer")


def test_a_file_that_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"--users {tmp_path}: Is a directory"):
        add_user("ana", tmp_path, "viewer")


def test_a_session_ends_unused_and_at_last(clock: Clock) -> None:
    kept = Sessions(clock)
    key = kept.start("ana", Role.VIEWER)
    for _ in range(int(sessions.LONGEST_S / sessions.IDLE_S)):
        clock.now += sessions.IDLE_S
        assert kept.of(key) is not None
    clock.now += 1
    assert kept.of(key) is None
    key = kept.start("ana", Role.VIEWER)
    clock.now += sessions.IDLE_S + 1
    assert kept.of(key) is None
    assert kept.of(None) is None


def test_there_are_so_many_sessions_and_no_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    kept = Sessions(clock)
    first, second = kept.start("a", Role.VIEWER), kept.start("b", Role.VIEWER)
    clock.now += 1
    kept.of(first)
    kept.start("c", Role.VIEWER)
    assert kept.of(first) is not None
    assert kept.of(second) is None


def test_a_one_time_token_is_taken_once() -> None:
    kept = Sessions()
    first, second = kept.one_time_token(), kept.one_time_token()
    assert not kept.take(first)
    assert not kept.take("é")
    assert kept.take(second)
    assert not kept.take(second)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::2]:9180", "@localhost"]
)
def test_another_name_is_not_answered(host: str) -> None:
    assert not is_allowed(host, Options().hosts)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9180", "127.0.0.1:80", "[::1]:9180"])
def test_the_own_names_are(host: str) -> None:
    assert is_allowed(host, Options().hosts)


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ("fd00::5", "[fd00::5]:9180"),
        ("FD00:0:0::5", "[fd00::5]"),
        ("[fd00::5]:443", "[fd00::5]"),
        ("a.example:1", "a.example"),
    ],
)
def test_the_own_address_is_one_of_the_own_names(given: str, header: str) -> None:
    assert is_allowed(header, Options.checked("localhost", 9180, {}, (given,), "").hosts)
    assert is_allowed(header, Options.checked(given, 9180, {"ana": ANA}, (), "").hosts)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_request_without_a_name_is_not_answered(host: str) -> None:
    assert not is_allowed("", Options.checked(host, 9180, {"ana": ANA}, (), "").hosts)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "console.example"])
def test_an_address_for_others_needs_users(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigurationError, match="there are no users"):
        Options.checked(host, 9180, {}, (), "")
    options = Options.checked(host, 9180, {"ana": ANA}, ("Ingest.example.com:443",), "ingest/")
    assert "ingest.example.com" in options.hosts
    assert "0.0.0.0" not in options.hosts
    assert options.prefix == "/ingest"


@pytest.mark.parametrize("proxy", ["*", "nginx", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_a_proxy_is_an_address_or_a_network(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="neither an address nor a network"):
        Options.checked("localhost", 9180, {}, (), "", None, (proxy,))
    options = Options.checked("localhost", 9180, {}, (), "", None, ("10.0.0.0/8", "fd00::1"))
    assert options.proxies[-2:] == ("10.0.0.0/8", "fd00::1")


@pytest.mark.parametrize(
    "then",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "javascript:x",
        "/\n/evil.example",
        " //evil.example",
        "/login?next=//evil.example",
        "",
        "dead",
    ],
)
def test_after_the_login_comes_no_other_site(then: str) -> None:
    assert _own(then) == "/"


def test_after_the_login_comes_the_page_with_its_parameters() -> None:
    assert _own("/dead?tenant=a%20b&class=X") == "/dead?tenant=a%20b&class=X"


async def test_wrong_passwords_are_limited_by_name_and_by_address(clock: Clock) -> None:
    wrong = Attempts(clock)
    for number in range(attempts.NAME_MAX):
        async with wrong.checking("ana", f"10.0.0.{number}"):
            wrong.count_wrong("ana", f"10.0.0.{number}")
    with pytest.raises(TooMany) as raised:
        await attempt(wrong, "ana", "10.0.1.1")
    assert raised.value.seconds == attempts.WITHIN_S
    await attempt(wrong, "rui", "10.0.0.1")
    clock.now += attempts.WITHIN_S
    await attempt(wrong, "ana", "10.0.1.1")
    for number in range(attempts.ADDRESS_MAX):
        wrong.count_wrong(f"name{number}", "10.0.0.9")
    with pytest.raises(TooMany):
        await attempt(wrong, "rui", "10.0.0.9")


async def test_the_right_password_ends_the_count_of_a_name(clock: Clock) -> None:
    wrong = Attempts(clock)
    for _ in range(attempts.NAME_MAX):
        wrong.count_wrong("ana", "10.0.0.1")
    wrong.forget("ana")
    await attempt(wrong, "ana", "10.0.0.1")


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "KEYS_MAX", 4)
    wrong = Attempts(clock)
    for number in range(100):
        wrong.count_wrong(f"name{number}", "10.0.0.1")
    assert len(wrong._wrong) == 4


async def test_few_passwords_are_checked_at_a_time_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITING_MAX", 3)
    wrong, go_on, running = Attempts(), asyncio.Event(), list[int]()

    async def check() -> None:
        async with wrong.checking("ana", "10.0.0.1"):
            running.append(len(running))
            await go_on.wait()

    tasks = [asyncio.create_task(check()) for _ in range(5)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert len(running) == attempts.AT_ONCE
    assert isinstance(done.pop().exception(), TooMany)
    go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, TooMany) for each in ended) == 2
    await attempt(wrong, "ana", "10.0.0.1")


async def attempt(wrong: Attempts, name: str, address: str) -> None:
    """One check, of a right password."""
    async with wrong.checking(name, address):
        pass
