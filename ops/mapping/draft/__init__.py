"""`mapping new`: from messages of an unknown device to a mapping file that reads them.

samples (what a payload is) → groups (which messages one route takes) → topic, identity, time, points → YAML with tests
"""
