"""Rows for a picture, from a source of any length: a sample, or counts in cells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Any

import numpy as np

from fastgmm.estimators.base import Mixture
from fastgmm.estimators.validation import inputs as given
from fastgmm.passes.subsample import draw_rows
from fastgmm.sources import Block, Source

BLOCK_ROWS = 65_536
TAIL = 5e-3  # of the rows on either side do not decide what is far away
MARGIN = 0.05  # of the reach, on either side


def source_of(model: Mixture, data: Any) -> Source:
    """Open rows that a model can score."""
    return given.to_score(model, data, None, model.means_.shape[1])


def sample(source: Source, n_rows: int) -> np.ndarray:
    """Draw rows without replacement, with chances by weight, in one pass over any source."""
    return weighed_sample(source, n_rows)[0]


def weighed_sample(source: Source, n_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw the same rows, with what each stands for; None where rows are not weighed.

    Heavy rows are drawn once at most, so counts alone would show too little of them. Of rows that
    may lack values those that lack none are drawn: a picture has no place for the others.
    """
    rows, counts = draw_rows(source, n_rows, seed=0)
    if source.may_lack:
        whole = ~np.isnan(rows).any(axis=1)
        rows, counts = rows[whole], counts[whole]
    # in the order of a sorted file, the rows of one cluster would hide those of the others
    order = np.random.default_rng(0).permutation(len(rows))
    return rows[order], None if source.weight is None else counts[order]


def reach(rows: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """From where to where a picture of these rows goes, (2, features).

    It holds some places, such as means, in any case; and all rows but those that are farther from
    them, and from 99 % of the rows, than these are from each other: they would press all else flat.
    """
    inner = np.quantile(rows, [TAIL, 1.0 - TAIL], axis=0) if len(rows) else shown
    low, high = _ends(np.vstack([inner, shown]))
    near = (rows >= low - (high - low)) & (rows <= high + (high - low))
    low, high = _ends(np.vstack([np.where(near, rows, low), shown]))
    width = np.where(high > low, high - low, np.maximum(1e-3 * np.abs(high), 1e-12))
    return np.array([low - MARGIN * width, high + MARGIN * width])


def outside(rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether each row lies outside a picture of this reach, (n,)."""
    return np.asarray(((rows < ends[0]) | (rows > ends[1])).any(axis=1))


def counts(
    source: Source, features: Sequence[int], ends: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Sum the weights of the rows in equal cells between the ends, in one pass; `shape` of them."""
    return source.fold(partial(_of_block, list(features), ends, shape), add, BLOCK_ROWS)


def _of_block(
    features: list[int], ends: np.ndarray, shape: tuple[int, ...], block: Block
) -> np.ndarray:
    cells = np.array(shape)
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    observed = ~np.isnan(block.rows[:, features]).any(axis=1)
    # rows far outside are put at the nearest end first: a whole number would overflow
    clipped = np.clip(block.rows[:, features].astype(np.float64), *(ends + _beyond(ends)))
    place = np.floor((clipped - ends[0]) / (ends[1] - ends[0]) * cells)
    place = np.where(observed[:, None], place, -1.0).astype(np.int64)
    inside = ((place >= 0) & (place < cells)).all(axis=1)
    index = np.ravel_multi_index(tuple(place[inside].T), shape)
    found = np.bincount(index, weights[inside], minlength=int(cells.prod()))
    return found.reshape(shape)


def _ends(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return places.min(axis=0), places.max(axis=0)


def _beyond(ends: np.ndarray) -> np.ndarray:
    """Steps to somewhere outside of both ends, (2, features)."""
    width = ends[1] - ends[0]
    return np.array([-width, width])
