"""`python -m ops`: the same as `traksense-ingest`."""

from ops.cli import main

main(prog_name="traksense-ingest")
