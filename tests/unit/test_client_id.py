"""A receiver's client id out of DNS, asked as Docker's own server is asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.message
import dns.reversename
import dns.rrset
import pytest
from click.testing import CliRunner
from dns.rcode import NXDOMAIN
from dns.resolver import Resolver

from traksense_ingest.ops import cli
from traksense_ingest.shared.errors import ConfigurationError

ADDRESS = "172.20.0.6"
QUESTION = dns.reversename.from_address(ADDRESS)

Answer = Callable[[dns.message.Message], dns.message.Message]


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda name: ADDRESS)


@contextmanager
def server(answer: Answer) -> Iterator[Resolver]:
    """A resolver that asks a name server which answers one question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def serve() -> None:
            query, peer = listener.recvfrom(4096)
            listener.sendto(answer(dns.message.from_wire(query)).to_wire(), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], listener.getsockname()[1]
        yield resolver
        thread.join(5)


def named(name: str) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        if query.question[0].name == QUESTION:
            response.answer.append(dns.rrset.from_text(QUESTION, 600, "IN", "PTR", name))
        return response

    return answer


def unknown(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(NXDOMAIN)
    return response


def test_it_is_the_containers_name_without_the_networks() -> None:
    with server(named("traksense-receiver-2.traksense_default.")) as resolver:
        assert cli.from_dns(resolver) == "traksense-receiver-2"


def test_a_host_that_dns_does_not_know_is_one_line() -> None:
    with server(unknown) as resolver, pytest.raises(ConfigurationError) as raised:
        cli.from_dns(resolver)
    assert str(raised.value).startswith(f"--client-id-from-dns: no name of {ADDRESS}: ")
    assert str(raised.value).endswith("; set MQTT_CLIENT_ID instead")
    assert "\n" not in str(raised.value)


def test_the_option_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_CLIENT_ID", "of the environment")
    monkeypatch.setattr(cli, "from_dns", lambda: "traksense-receiver-2")
    monkeypatch.setattr("traksense_ingest.receiver.__main__.main", lambda **_: print(os.environ["MQTT_CLIENT_ID"]))
    assert CliRunner().invoke(cli.main, ["receiver", "--client-id-from-dns"]).output == "traksense-receiver-2\n"


def test_without_the_option_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_CLIENT_ID", "of the environment")
    monkeypatch.delattr(cli, "from_dns")
    monkeypatch.setattr("traksense_ingest.receiver.__main__.main", lambda **_: print(os.environ["MQTT_CLIENT_ID"]))
    assert CliRunner().invoke(cli.main, ["receiver"]).output == "of the environment\n"


def test_a_name_that_is_not_there_ends_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise ConfigurationError("no name")

    monkeypatch.setattr(cli, "from_dns", nameless)
    result = CliRunner().invoke(cli.main, ["receiver", "--client-id-from-dns"])
    assert (result.exit_code, result.output) == (2, "no name\n")
