"""What may run: mappings whose own tests pass."""

from __future__ import annotations

from traksense_ingest.shared.mapping.mappings import Mappings


def require_passed(mappings: Mappings) -> None:
    """Raise MappingError where tests of mappings fail. What decodes is imported only if there are any."""
    if mappings.named:
        from traksense_ingest.writer.decode.mapped.check import require_passed as run_tests  # noqa: PLC0415

        run_tests(mappings)
