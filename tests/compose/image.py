"""The image of the stand-ins: nothing but the directories that `override.yml` mounts something into, and two users."""

from __future__ import annotations

import io
import subprocess
import tarfile

NAME = "traksense-host:test"
PATH = "/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin"
POSTGRES = 999  # must not be root

LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}
DIRECTORIES = ("usr", "etc", "data", "prometheus", "run", "var", "var/lib", "var/lib/postgresql")
FILES = {
    "etc/passwd": f"root:x:0:0::/:/bin/sh\npostgres:x:{POSTGRES}:{POSTGRES}::/:/bin/sh\n",
    "etc/group": f"root:x:0:\npostgres:x:{POSTGRES}:\n",
}


def make() -> None:
    """Import it into the engine, in the place of an older one."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in DIRECTORIES:
            tar.addfile(_member(name, tarfile.DIRTYPE))
        for name in ("run/postgresql", "var/lib/postgresql/data"):
            tar.addfile(_member(name, tarfile.DIRTYPE, mode=0o700, owner=POSTGRES))
        tar.addfile(_member("tmp", tarfile.DIRTYPE, mode=0o1777))
        for name, target in LINKS.items():
            tar.addfile(_member(name, tarfile.SYMTYPE, target=target))
        for name, text in FILES.items():
            tar.addfile(_member(name, tarfile.REGTYPE, size=len(text)), io.BytesIO(text.encode()))
    command = ["docker", "import", "--change", f"ENV PATH={PATH}", "-", NAME]
    subprocess.run(command, input=archive.getvalue(), capture_output=True, check=True)


def _member(
    name: str, kind: bytes, *, mode: int = 0o755, owner: int = 0, target: str = "", size: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, target, size
    member.uid = member.gid = owner
    return member
