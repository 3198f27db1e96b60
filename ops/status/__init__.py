"""`traksense-ingest status`: the streams, who reads them, and whether the sums agree."""
