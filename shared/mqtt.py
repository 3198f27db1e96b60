"""The one way from settings to an MQTT client: address, protocol, user, TLS."""

from __future__ import annotations

import ssl
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiomqtt

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
    then leaves the socket open."""

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._client._sock_close()
            raise

    def _on_disconnect(self, *arguments: Any) -> None:
        super()._on_disconnect(*arguments)
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it answered"))


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
