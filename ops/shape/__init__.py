"""How long data is kept, compressed and aggregated: the database as the variables say."""
