"""The figures of this project, measured by one command: `make bench`, or `python -m bench`."""
