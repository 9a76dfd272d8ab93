"""A processor register as a Numba type, and what is computed in it."""
