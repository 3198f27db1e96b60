"""`traksense-ingest dlq`: look at dead letters, put them through the stream again, delete them, hand them on."""
