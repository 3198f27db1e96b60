"""The one way from settings to an MQTT client: address, protocol, user, TLS."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt

from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.mqtt_client import Client, HungUp, accept_any_text

PORT, TLS_PORT = 1883, 8883
UNSUPPORTED_VERSION = 0x84  # CONNACK's reason code


def client(settings: Settings, identifier: str, **options: Any) -> Client:
    """A client of MQTT_URL that isn't connected yet; needs a running event loop.

    `options` are aiomqtt's; without any, the session ends with the connection. A client serves for one
    connection. Raises OSError (ssl.SSLError) when a file that MQTT_TLS_… names isn't what it should be.
    """
    accept_any_text()
    url = urlsplit(settings.mqtt_url)
    tls = _tls(settings)
    user, password = _credentials(settings)
    return Client(
        url.hostname or "localhost",
        url.port or (TLS_PORT if tls else PORT),
        username=user,
        password=password,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5 if is_v5(settings) else aiomqtt.ProtocolVersion.V311,
        tls_context=tls,
        **options,
    )


def described(settings: Settings, error: Exception) -> str:
    """One line of why a connection could not be made, with the variable to change where the version may be why."""
    is_unsupported = isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", 0) == UNSUPPORTED_VERSION
    if is_unsupported or isinstance(error, HungUp):
        return f"{describe(error)}; does it know MQTT {settings.mqtt_protocol}, as MQTT_PROTOCOL says?"
    return describe(error)


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
