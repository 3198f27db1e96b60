"""`traksense-ingest status`: which dependencies answer, which processes run, how each stream develops, and whether the
counts of each stream balance."""
