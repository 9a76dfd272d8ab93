"""Compiled loops over rows, that know nothing of files or of EM."""
