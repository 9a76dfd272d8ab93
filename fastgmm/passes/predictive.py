"""Scores of rows to come under a posterior: mixtures of Student's t-distributions.

They are computed with NumPy: no kernel has the logarithm that each pair of row and component needs.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.posterior import Posterior
from fastgmm.passes.model import short_blocks, weight_of
from fastgmm.sources import Block, Source

CACHED_ROWS = 2048  # scored at a time


def log_densities(source: Source, posterior: Posterior) -> npt.NDArray[Any]:
    """Log density of every row, (n,), in the dtype of the rows."""
    return _tabulated(source, posterior, "log_densities")


def responsibilities(source: Source, posterior: Posterior) -> npt.NDArray[Any]:
    """Probability of every component for every row, (n, K), in the dtype of the rows."""
    return _tabulated(source, posterior, "responsibilities")


def labels(source: Source, posterior: Posterior) -> npt.NDArray[np.int64]:
    """Most probable component of every row, (n,)."""
    return _tabulated(source, posterior, "labels")


def total_log_density(source: Source, posterior: Posterior) -> tuple[float, float]:
    """Sum of weighted log densities, and sum of weights."""
    found = source.fold(partial(_total, posterior), operator.add, block_rows(source.n_features))
    return float(found[0]), float(found[1])


def each_block(
    source: Source, posterior: Posterior, kind: str
) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
    """Score block after block.

    Parameters
    ----------
    source : Source
    posterior : Posterior
    kind : {"labels", "responsibilities", "log_densities"}

    Yields
    ------
    block : Block
    scores : ndarray of shape (rows of the block,) or (rows of the block, K)
    """
    like = _like(posterior, kind, source.dtype)
    with closing(short_blocks(source, CACHED_ROWS)) as walk:
        for block in walk:
            out = np.empty((len(block.rows), *like.shape[1:]), like.dtype)
            _fill(posterior, kind, block, out)
            yield block, out


def _tabulated(source: Source, posterior: Posterior, kind: str) -> npt.NDArray[Any]:
    like, rows = _like(posterior, kind, source.dtype), block_rows(source.n_features)
    return source.tabulate(partial(_fill, posterior, kind), like.shape[1:], like.dtype, rows)


def _like(posterior: Posterior, kind: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the scores of no rows."""
    each = (posterior.n_components,) if kind == "responsibilities" else ()
    return np.empty((0, *each), np.int64 if kind == "labels" else dtype)


def _fill(posterior: Posterior, kind: str, block: Block, out: npt.NDArray[Any]) -> None:
    for piece, rows in _pieces(block):
        if kind == "log_densities":
            out[piece] = posterior.log_predictive(rows)
            continue
        logs = np.column_stack([*posterior.log_predictive_parts(rows)])
        out[piece] = logs.argmax(axis=1) if kind == "labels" else _shares(logs)


def _pieces(block: Block) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(block.rows), CACHED_ROWS):
        piece = slice(start, start + CACHED_ROWS)
        rows = np.asarray(block.rows[piece], dtype=np.float64)
        if np.isnan(rows).any():
            row = block.start + start + int(np.isnan(rows).any(axis=1).argmax())
            raise DataError(
                f"row {row} lacks a value, and the predictive density is of complete rows; leave "
                "out predictive=True, or these rows"
            )
        yield piece, rows


def _shares(logs: Array) -> Array:
    """Return the shares of densities in their sum; equal ones where there is no density."""
    highest = logs.max(axis=1, keepdims=True)
    found = np.exp(logs - np.where(highest == -np.inf, 0.0, highest))
    found[highest[:, 0] == -np.inf] = 1.0
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _total(posterior: Posterior, block: Block) -> Array:
    """Sum of weighted log densities, and sum of weights."""
    found = 0.0
    for piece, rows in _pieces(block):
        logs = posterior.log_predictive(rows)
        if block.weights is not None:
            its = block.weights[piece]
            logs = np.where(its > 0.0, logs, 0.0) * its  # 0 times minus infinity is no number
        found += float(logs.sum())
    return np.array([found, weight_of(block)[1]])
