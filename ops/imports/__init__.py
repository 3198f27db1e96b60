"""`traksense-ingest import`: messages of a file or a table through the streams, as if they were received again."""
