"""A throwaway CA and what it signs, by the openssl program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def can_sign() -> bool:
    """Whether openssl is here."""
    return shutil.which("openssl") is not None


class Authority:
    """A CA in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=throwaway", "-addext", "keyUsage=critical,keyCertSign"),  # Python 3.13 wants that
            *("-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str, address: str) -> tuple[Path, Path]:
        """A certificate for an address, as `IP:127.0.0.1` or `DNS:name`, and its key."""
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        request = self._directory / f"{name}.csr"
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={address}", "-keyout", key, "-out", request),
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", "2", "-copy_extensions", "copy", "-out", certificate),
        )
        key.chmod(0o644)  # for a server that gives up root before it reads
        return certificate, key

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
