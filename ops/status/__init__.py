"""`traksense-ingest status`: what is away, who is there, where the streams are going, and whether the sums agree."""
