"""The files that TLS needs: checked when a process starts, since one that can't be used is no outage."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NamedTuple

from traksense_ingest.shared.errors import ConfigurationError


class Files(NamedTuple):
    """Paths of PEM files, each None where there is none: CAs to trust, the client's certificate and its key."""

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None  # None where the certificate's file holds it
    password: str | None = None  # the key's


def check(files: Files) -> None:
    """Raise ConfigurationError for a file that is missing or not what it should be, or a key of another certificate.

    The message says which, and why; never what is in it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.key and not files.certificate:
        raise ConfigurationError(f"{files.key}: a key without its certificate")
    for path in (files.ca, files.certificate, files.key):
        if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(f"{path}: no such file, or it may not be read")
    try:
        if files.ca:
            context.load_verify_locations(files.ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{files.ca}: {error}") from None
    try:
        if files.certificate:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(files.certificate, files.key, files.password or "")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{files.certificate} and its key: {error}") from None
