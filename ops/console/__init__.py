"""`traksense-ingest console`: web pages that answer the questions of the person on call."""
