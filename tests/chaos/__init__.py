"""Everything that can break, broken on purpose under load; then what devices had a PUBACK for is compared with the
tables.

python -m tests.chaos --help
"""
