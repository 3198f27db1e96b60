"""Beside the lanes: metrics and logs, ledgers, stuck transactions, idle consumers."""
