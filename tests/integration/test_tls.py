"""TLS, mutual TLS and passwords at a real broker: right ones work, wrong ones are one clear line and exit code 2."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.budget import few_of
from tests.support.certificates import Authority, can_sign
from tests.support.services import Services
from tests.support.stack import Stack, telem
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.embedded.debian import Mosquitto
from traksense_ingest.shared import config, mqtt

pytestmark = pytest.mark.skipif(
    not (Mosquitto.installed() and can_sign() and shutil.which("mosquitto_passwd")),
    reason="needs Debian's mosquitto and openssl",
)
SECRET = "s3cret-of-the-test"
HUNG_UP = "the broker hung up before it answered: failed to receive on socket:"  # TLS 1.3 asks for our certificate last


class Guarded(Mosquitto):
    """A Mosquitto with more lines in its configuration; it answers a port that no TLS guards as well."""

    lines = ""
    open_port = 0

    def _prepare(self) -> None:
        super()._prepare()
        plain = self._config_path.read_text().replace(f"listener {self.port} ", f"listener {self.open_port} ")
        own = f"listener {self.port} 127.0.0.1\n{self.lines}\n"
        self._config_path.write_text(f"per_listener_settings true\n{plain}\n{own}")

    def _answers(self) -> bool:
        own, self.port = self.port, self.open_port
        try:
            return super()._answers()
        finally:
            self.port = own


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "right")


def password_file(directory: Path) -> Path:
    path = directory / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(path), "receiver", SECRET]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o644)
    return path


@pytest.fixture
async def guarded(
    request: pytest.FixtureRequest, services: Services, database: str, tmp_path: Path, authority: Authority
) -> AsyncIterator[Stack]:
    certificate, key = authority.sign("broker", "IP:127.0.0.1")
    passwords = password_file(tmp_path)
    broker = Guarded(tmp_path / "broker", free_port())
    broker.open_port = free_port()
    tls = f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
    broker.lines = {
        "tls": f"{tls}allow_anonymous true",
        "mutual": f"{tls}require_certificate true\nallow_anonymous true",
        "password": f"allow_anonymous false\npassword_file {passwords}",
    }[request.param]
    with broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, database, tmp_path)
        yield stack
        await stack.close()


async def refused(stack: Stack, line: str, **variables: object) -> None:
    receiver = stack.start("receiver", **variables)
    assert receiver.wait() == 2, receiver.log
    assert receiver.log.splitlines()[-1].startswith(f"MQTT_URL: broker: {line}"), receiver.log
    assert "Traceback" not in receiver.log
    assert SECRET not in receiver.log


def mqtts(broker: Server, host: str = "127.0.0.1") -> str:
    return f"mqtts://{host}:{broker.port}"


async def message_arrives(stack: Stack, **tls: object) -> None:
    """A device's message, published and received by TLS, is stored."""
    await stack.writer()
    variables = {"mqtt_url": mqtts(stack.broker)} | {name.lower(): str(value) for name, value in tls.items()}
    topic, payload = telem()
    async with mqtt.client(config.load(**variables), "device") as device:
        await device.publish(topic, payload, qos=1)
    await stack.has_rows("ts_measure", 1)


@pytest.mark.parametrize("guarded", ["tls"], indirect=True)
async def test_tls(guarded: Stack, authority: Authority, tmp_path: Path) -> None:
    url = mqtts(guarded.broker)
    await guarded.receiver(MQTT_URL=url, MQTT_TLS_CA=authority.certificate)
    await message_arrives(guarded, MQTT_TLS_CA=authority.certificate)
    other = Authority(tmp_path / "wrong").certificate
    await refused(guarded, "[SSL: CERTIFICATE_VERIFY_FAILED]", MQTT_URL=url, MQTT_TLS_CA=other)
    await refused(guarded, "[SSL: CERTIFICATE_VERIFY_FAILED]", MQTT_URL=url)
    elsewhere = mqtts(guarded.broker, "localhost")
    await refused(guarded, "[SSL: CERTIFICATE_VERIFY_FAILED]", MQTT_URL=elsewhere, MQTT_TLS_CA=authority.certificate)


@pytest.mark.parametrize("guarded", ["mutual"], indirect=True)
async def test_mutual_tls(guarded: Stack, authority: Authority) -> None:
    certificate, key = authority.sign("receiver", "DNS:receiver")
    given = {"MQTT_TLS_CA": authority.certificate}
    own = given | {"MQTT_TLS_CERT": certificate, "MQTT_TLS_KEY": key}
    await guarded.receiver(MQTT_URL=mqtts(guarded.broker), **own)
    await message_arrives(guarded, **own)
    await refused(
        guarded, f"{HUNG_UP} [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", MQTT_URL=mqtts(guarded.broker), **given
    )


@pytest.mark.parametrize("protocol", few_of(["3.1.1", "5"], 1))
@pytest.mark.parametrize("guarded", ["mutual"], indirect=True)
async def test_a_client_certificate_of_a_foreign_ca(
    guarded: Stack, authority: Authority, tmp_path: Path, protocol: str
) -> None:
    certificate, key = Authority(tmp_path / "foreign").sign("receiver", "DNS:receiver")
    given = {"MQTT_URL": mqtts(guarded.broker), "MQTT_TLS_CA": authority.certificate, "MQTT_PROTOCOL": protocol}
    foreign = given | {"MQTT_TLS_CERT": certificate, "MQTT_TLS_KEY": key}
    await refused(guarded, f"{HUNG_UP} [SSL: TLSV1_ALERT_UNKNOWN_CA]", **foreign)


@pytest.mark.parametrize("protocol", few_of(["3.1.1", "5"], 1))
@pytest.mark.parametrize("guarded", ["password"], indirect=True)
async def test_passwords(guarded: Stack, protocol: str) -> None:
    receiver = await guarded.receiver(MQTT_PROTOCOL=protocol, MQTT_USERNAME="receiver", MQTT_PASSWORD=SECRET)
    in_url = guarded.broker.url.replace("//", f"//receiver:{SECRET}@")
    receiver.kill()
    assert SECRET not in (await guarded.receiver(MQTT_PROTOCOL=protocol, MQTT_URL=in_url)).log
    for wrong in ({"MQTT_USERNAME": "receiver", "MQTT_PASSWORD": "wrong"}, {}):
        await refused(guarded, "[code:13", MQTT_PROTOCOL=protocol, **wrong)
