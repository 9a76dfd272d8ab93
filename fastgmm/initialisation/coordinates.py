"""Coordinate systems in which k-means looks for the clusters of a sample.

Raw, standardised, whitened, and invariant: with z the whitened rows, the eigenvectors of the mean
of |z|^2 z z' (Tyler, Critchley, Dümbgen and Oja 2009), in the order of kurtosis. Clusters of like
size stand apart along coordinates of low kurtosis, small ones along those of high kurtosis, however
oblong they are and whatever the units.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread

# Of the largest eigenvalue of a correlation matrix: less is a sum of other features, and rounding
NEGLIGIBLE_VARIANCE = 1e-10
CONSTANT = 1e-7  # of a feature's extent: 1e14 rows of one value and one of another vary more
TILE = 4096  # rows whitened while they sit in cache: 50 000 of 8 features took 6 ms in one piece
MOST_TURNED = 4  # coordinates whose directions are looked at: their products are ten
MOST_SYSTEMS = 9  # that `systems` walks


class Coordinates(NamedTuple):
    """Rows in one coordinate system."""

    name: str
    rows: Array  # (m, p), p not more than the features


class Whitened(NamedTuple):
    """Rows of covariance one, along the invariant coordinates."""

    standardised: Array  # (m, d) of variance one, or constant
    invariant: Array  # (m, rank) of covariance one, lowest kurtosis first


class Whitening(NamedTuple):
    """A linear map that whitens rows."""

    scale: Array  # (d,) to extents of one, so that squares stay numbers
    centre: Array  # (d,) of the scaled rows
    inverse_deviations: Array  # (d,) of the scaled rows; 0 where constant
    axes: Array  # (d, rank) of the standardised rows, lowest kurtosis first

    @one_blas_thread()
    def of(self, rows: Array) -> Whitened:
        """Whiten rows (m, d)."""
        standardised = (rows * self.scale - self.centre) * self.inverse_deviations
        return Whitened(standardised, standardised @ self.axes)


def whiten(rows: Array, weights: Array) -> Whitened:
    """Whiten centred rows (m, d) of weights (m,) that sum to one.

    Features that are sums of others add no coordinate; equal rows have no coordinates at all.
    """
    return whitening(rows, weights)[0].of(rows)


@one_blas_thread()
def whitening(rows: Array, weights: Array) -> tuple[Whitening, Array]:
    """Return the map that whitens centred rows, and the squared lengths of whitened rows, (m,)."""
    tiles = [rows[start : start + TILE].T.copy() for start in range(0, len(rows), TILE)]
    parts = [weights[start : start + TILE] for start in range(0, len(rows), TILE)]
    extent = np.max([np.abs(columns).max(axis=1) for columns in tiles], axis=0)
    scale = 1.0 / np.where(extent > 0.0, extent, 1.0)
    for columns in tiles:
        columns *= scale[:, None]
    # of a constant, the first centring may leave a rounding error
    centre = _sum(columns @ weight for columns, weight in zip(tiles, parts, strict=True))
    for columns in tiles:
        columns -= centre[:, None]
    scatter = _sum((columns * w) @ columns.T for columns, w in zip(tiles, parts, strict=True))
    deviations = np.sqrt(np.diagonal(scatter))
    inverse = np.where(deviations > CONSTANT, 1.0 / np.maximum(deviations, CONSTANT), 0.0)
    variances, axes = np.linalg.eigh(scatter * np.outer(inverse, inverse))
    kept = variances > NEGLIGIBLE_VARIANCE * max(variances[-1], np.finfo(float).tiny)
    whitener = _pointed(axes[:, kept] / np.sqrt(variances[kept]))
    whitened = [(inverse[:, None] * whitener).T @ columns for columns in tiles]
    leverages = [(columns**2).sum(axis=0) for columns in whitened]
    fourth = _sum(
        (columns * (w * lengths)) @ columns.T
        for columns, w, lengths in zip(whitened, parts, leverages, strict=True)
    )
    _, turned = np.linalg.eigh(fourth)
    found = Whitening(scale, centre, inverse, whitener @ _pointed(turned))
    return found, np.concatenate(leverages)


def _sum(values: Iterator[Array]) -> Array:
    """Add arrays in order."""
    return functools.reduce(np.add, values)


def systems(rows: Array, whitened: Whitened, n_components: int) -> Iterator[Coordinates]:
    """Yield the coordinate systems of a sample; equal ones only once."""
    invariant = whitened.invariant
    rank, several = invariant.shape[1], n_components - 1
    yield Coordinates("standardised", whitened.standardised)
    if rows.shape[1] == 1:
        return
    yield Coordinates("raw", rows)
    if rank == 0:
        return
    yield Coordinates("whitened", invariant)
    if rank == 1:
        return
    yield Coordinates("lowest", np.ascontiguousarray(invariant[:, :1]))
    yield Coordinates("highest", np.ascontiguousarray(invariant[:, -1:]))
    # clusters that cross may do so in a plane, whatever their number: of four or five lines in a
    # plane of 6 to 20 dimensions, a coordinate of noise more let 21 of 24 starts go wrong
    for count in sorted({2, min(max(2, several), MOST_TURNED, rank)}):
        yield Coordinates("directions", _directions(invariant[:, -count:]))
    if 1 < several <= rank // 2:  # else they are almost all of the coordinates
        yield Coordinates("low", np.ascontiguousarray(invariant[:, :several]))
        yield Coordinates("high", np.ascontiguousarray(invariant[:, -several:]))


def _directions(rows: Array) -> Array:
    """Return z_i z_j / |z|, alike for rows on one line through the mean, on either side."""
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    i, j = np.triu_indices(rows.shape[1])
    # columns chosen by index come in Fortran's order, and kernels read rows
    products = np.ascontiguousarray(rows[:, i] * rows[:, j]) * np.where(i == j, 1.0, np.sqrt(2.0))
    return products / np.where(lengths > 0.0, lengths, 1.0)


def _pointed(axes: Array) -> Array:
    """Make the largest entry of each axis positive, since eigenvectors have no fixed sign."""
    if axes.size == 0:
        return axes
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.sign(axes[largest, np.arange(axes.shape[1])])
