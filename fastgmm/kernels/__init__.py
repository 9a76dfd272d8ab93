"""Compiled loops over rows. Imports NumPy, Numba and llvmlite only; knows nothing of files or of EM."""
