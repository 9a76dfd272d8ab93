"""A script for each table of the docs: `python -m bench.tables.NAME`."""
