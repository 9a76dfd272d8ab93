"""Passes over a source: rows to sufficient statistics, to scores, to a sub-sample."""

from fastgmm.passes import predictive
from fastgmm.passes.accumulate import Summary, add, block_statistics, statistics, summarise
from fastgmm.passes.model import held_bytes, short_blocks
from fastgmm.passes.scores import (
    Totals,
    each_block,
    each_block_by_columns,
    labels,
    log_likelihoods,
    own_rows,
    responsibilities,
    scored,
    total_log_likelihood,
    totals,
)

__all__ = [
    "Summary",
    "Totals",
    "add",
    "block_statistics",
    "each_block",
    "each_block_by_columns",
    "held_bytes",
    "labels",
    "log_likelihoods",
    "own_rows",
    "predictive",
    "responsibilities",
    "scored",
    "short_blocks",
    "statistics",
    "summarise",
    "total_log_likelihood",
    "totals",
]
