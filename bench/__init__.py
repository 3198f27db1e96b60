"""Measurements that the documentation quotes, each repeatable by one command."""
