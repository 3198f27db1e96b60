"""Reading a stream: a consumer of its group for each lane, sizes of batches, leftover shards."""
