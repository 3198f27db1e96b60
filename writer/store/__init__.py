"""Rows and dead letters into the database: one transaction for a batch, or a part of it."""
