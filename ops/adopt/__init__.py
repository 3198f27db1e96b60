"""`migrate --adopt`: takes over a database of the first version, the one process that receivers and writers replace."""
