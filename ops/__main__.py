"""`python -m traksense_ingest.ops`: the same as `traksense-ingest`."""

from traksense_ingest.ops.cli import main

main(prog_name="traksense-ingest")
