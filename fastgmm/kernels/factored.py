"""The fused pass of factor analysers: the sums of live pairs of row and component alone.

The sums of a pair cost more than its density, and most pairs are nothing: where the first tile of a
slice shows that, rows are gathered by component, and registers are full. Either way gives the same
sums to rounding, and which is taken follows from the rows of the slice.
"""

import numpy as np

from fastgmm.kernels.expectation import KERNELS, divide, normalise
from fastgmm.kernels.jit import kernel, subroutine
from fastgmm.kernels.pruned import list_live, new_lists, segment_rows
from fastgmm.kernels.structures.factored import (
    Factors,
    add_moments,
    add_moments_of,
    log_densities,
    projections,
)
from fastgmm.kernels.tiles import (
    TILE,
    gather_tile,
    lesser,
    load_weighted,
)

WORTH = 0.6  # of a first tile's pairs: gathering costs what sums of so many others would


@kernel
def factored_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop]; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.log_scale.size, rows.shape[1]
    tile, scratch, densities, weights = divide(workspace, n_features, n_components)
    length = segment_rows(n_components, stop - start)
    lists = new_lists(n_components, length, rows)
    log_likelihood, gathers = 0.0, n_components > 1
    for first in range(start, stop, length):
        segment = rows[first : lesser(first + length, stop)]
        segment_weights = row_weights[first : first + length]
        lists.counts[:] = 0
        for begin in range(0, len(segment), TILE):
            alike = load_weighted(
                segment, segment_weights, begin, len(segment), factors.means, tile, weights
            )
            log_densities(tile, factors, scratch, densities)
            log_likelihood += normalise(n_components, densities, weights, alike)
            if gathers:
                list_live(densities, begin, lists)
                if first == start and begin == 0:
                    n_pairs = lesser(TILE, len(segment)) * n_components
                    gathers = lists.counts.sum() < WORTH * n_pairs
                    if not gathers:
                        lists.counts[:] = 0
            if not gathers:
                add_moments(tile, densities, factors, scratch, moments)
        add_listed_moments(segment, lists, factors, tile, scratch, moments)
    return log_likelihood


@subroutine
def add_listed_moments(segment, lists, factors, tile, scratch, moments):
    """Add the moments of the listed rows, whose values are responsibilities."""
    size, padded = moments.size // lists.counts.size, np.empty(TILE, segment.dtype)
    for k in range(lists.counts.size):
        out = moments[k * size : (k + 1) * size]
        mean, mean_low = factors.means[k], factors.means_low[k]
        for first in range(0, lists.counts[k], TILE):
            live = lesser(TILE, lists.counts[k] - first)
            columns = gather_tile(segment, lists.rows[k, first:], live, tile)
            padded[:live] = lists.values[k, first : first + live]
            padded[live:columns] = 0.0
            add_moments_of(k, tile, padded, columns, mean, mean_low, factors, scratch, out)


KERNELS[Factors] = factored_slice


def directions(factors, n_features):
    """Return along which directions a pass sees second moments; None where it sees them whole."""
    return projections(factors, n_features) if isinstance(factors, Factors) else None
