"""Passes over a source: rows to sufficient statistics, to scores, to a sub-sample."""

from fastgmm.passes.accumulate import (
    Model,
    add,
    block_statistics,
    each_block,
    held_bytes,
    labels,
    log_likelihoods,
    model,
    own_rows,
    responsibilities,
    scored,
    short_blocks,
    statistics,
    summarise,
    total_log_likelihood,
    totals,
)

__all__ = [
    "Model",
    "add",
    "block_statistics",
    "each_block",
    "held_bytes",
    "labels",
    "log_likelihoods",
    "model",
    "own_rows",
    "responsibilities",
    "scored",
    "short_blocks",
    "statistics",
    "summarise",
    "total_log_likelihood",
    "totals",
]
