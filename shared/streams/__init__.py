"""The streams between receiver and writer: keys, client, scripts, snapshots, the ledger."""
