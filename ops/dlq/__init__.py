"""`traksense-ingest dlq`: list and show dead letters, replay them through the stream, delete and export them."""
