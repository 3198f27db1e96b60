"""The one way from settings to an MQTT client: address, protocol, user, TLS."""

from __future__ import annotations

import ssl
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiomqtt
from paho.mqtt.client import MQTT_LOG_ERR

from shared.config import Settings

PORT, TLS_PORT = 1883, 8883


def client(settings: Settings, identifier: str, **options: Any) -> aiomqtt.Client:
    """A client of MQTT_URL that isn't connected yet; needs a running event loop.

    `options` are aiomqtt's; without any, the session ends with the connection. A client serves for one
    connection. Raises OSError (ssl.SSLError) when a file that MQTT_TLS_… names isn't what it should be.
    """
    url = urlsplit(settings.mqtt_url)
    tls = _tls(settings)
    user, password = _credentials(settings)
    return _Client(
        url.hostname or "localhost",
        url.port or (TLS_PORT if tls else PORT),
        username=user,
        password=password,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5 if is_v5(settings) else aiomqtt.ProtocolVersion.V311,
        tls_context=tls,
        **options,
    )


class _Client(aiomqtt.Client):
    """Tells at once that a broker, or a proxy before it, hung up without a CONNACK; aiomqtt waits for a time-out, and
    then leaves the socket open. With the reason where paho met one: it tells its log of it and nobody else, such as
    that the broker refuses our certificate, which with TLS 1.3 comes when the handshake is over."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reason = ""
        self._client.on_log = self._note_error

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._client._sock_close()
            raise

    def _note_error(self, _client: object, _userdata: object, level: int, text: str) -> None:
        if level == MQTT_LOG_ERR:
            self._reason = f": {text}"

    def _on_connect(self, *arguments: Any) -> None:
        self._client.on_log = None  # it would be told of every packet
        super()._on_connect(*arguments)

    def _on_disconnect(self, *arguments: Any) -> None:
        super()._on_disconnect(*arguments)
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(f"the broker hung up before it answered{self._reason}"))


def is_v5(settings: Settings) -> bool:
    """Whether MQTT_PROTOCOL is 5, not 3.1.1."""
    return settings.mqtt_protocol == "5"


def _credentials(settings: Settings) -> tuple[str | None, str | None]:
    """User and password; only those in a URL are percent-encoded."""
    url = urlsplit(settings.mqtt_url)
    user = settings.mqtt_username or (unquote(url.username) if url.username else None)
    if settings.mqtt_password:
        return user, settings.mqtt_password.get_secret_value()
    return user, unquote(url.password) if url.password else None


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not (settings.mqtt_url.startswith("mqtts:") or settings.mqtt_tls_ca or settings.mqtt_tls_cert):
        return None
    context = ssl.create_default_context(cafile=settings.mqtt_tls_ca)
    if settings.mqtt_tls_cert:
        context.load_cert_chain(settings.mqtt_tls_cert, settings.mqtt_tls_key)
    return context
