"""The command line: everything that an operator runs."""
