"""The commands of `traksense-ingest dlq`: their options, and what `--help` says."""
