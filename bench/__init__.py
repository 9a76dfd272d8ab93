"""Benchmarks for asv: ``asv run --python=same`` measures the installed fastgmm."""
