"""`traksense-ingest up`: a broker, a Redis, a database, a receiver and a writer, in one command."""
