"""Rows on a Dask cluster: passes computed where their partitions live."""
