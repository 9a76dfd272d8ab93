"""Threads: how many a call may use, and one for BLAS."""
