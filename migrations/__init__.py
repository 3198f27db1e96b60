"""Numbered SQL, applied once each by `traksense-ingest migrate`."""
