"""Compiled loops over rows, which know neither files nor EM."""
