"""`traksense-ingest devices`: which devices are online, late, silent or offline, and whose clocks are wrong."""
