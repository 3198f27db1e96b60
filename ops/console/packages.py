"""The packages of the extra `console`, which not every installation has."""

from __future__ import annotations

from importlib.util import find_spec

from traksense_ingest.shared.errors import ConfigurationError

PACKAGES = ("jinja2", "python_multipart", "starlette", "uvicorn")
MISSING = "the console needs more packages: pip install 'traksense-ingest[console]'"


def are_installed() -> bool:
    """Whether the console can run."""
    return all(find_spec(name) for name in PACKAGES)


def require() -> None:
    """Raise ConfigurationError, with what to install."""
    if not are_installed():
        raise ConfigurationError(MISSING)
