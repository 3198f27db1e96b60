"""Coverage-guided fuzzing of the decoder: `python -m tests.fuzz [--seconds N]`, or with files, to run these again.

It ends with an error as soon as an input breaks a property, and leaves that input in tests/fuzz/corpus, where the unit
tests run it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["traksense_ingest.writer"]):
    from tests.fuzz import target

INPUT_MAX = 8192  # bytes: what is larger is a matter of time, which the unit tests count
INPUT_TIMEOUT_S = 10
WORDS = Path(__file__).parent / "words.dict"


def main() -> None:
    """Fuzz; atheris ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time; libFuzzer prints it")
    parser.add_argument("files", nargs="*", type=Path)
    given = parser.parse_args()
    if given.files:
        run(map(str, given.files))
    with tempfile.TemporaryDirectory(prefix="traksense-fuzz-") as found:
        for name, data in target.seeds():
            (Path(found) / name).write_bytes(data)
        run(
            [
                f"-max_total_time={given.seconds}",
                f"-seed={given.seed}",
                f"-max_len={INPUT_MAX}",
                f"-timeout={INPUT_TIMEOUT_S}",
                f"-dict={WORDS}",
                f"-artifact_prefix={target.CORPUS}/",
                "-print_final_stats=1",
                "-verbosity=1",
                found,
                str(target.CORPUS),
            ]
        )


def run(arguments: Iterable[str]) -> None:
    """Hand over to libFuzzer."""
    atheris.Setup([sys.argv[0], *arguments], check_or_tell)
    atheris.Fuzz()


def check_or_tell(data: bytes) -> None:
    """Check one input; say how to run it again when it fails."""
    try:
        target.check(data)
    except BaseException:
        crash = target.CORPUS / f"crash-{hashlib.sha1(data).hexdigest()}"  # the name that libFuzzer gives it
        print(f"\n{data!r} fails; again: python -m tests.fuzz {os.path.relpath(crash)}", flush=True)
        raise


if __name__ == "__main__":
    main()
