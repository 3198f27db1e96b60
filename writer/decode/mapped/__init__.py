"""Mappings, compiled: closures that turn an entry into rows, with all that is known of a route worked out once."""
