"""Redis Streams → TimescaleDB: batches of a consumer group, decoded, stored in one transaction, settled."""
