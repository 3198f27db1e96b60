"""Everything that can break, broken on purpose under load; then what devices were told is compared with the tables.

python -m tests.chaos --help
"""
