"""Panels: rows turned into columns once, for loops that ask again and again who is near a row.

A panel is stored as (features, PANEL). Rows past the last repeat it, with weight zero. Slices of
TILE rows are summed on their own, so that no thread changes a sum.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, quiet, view
from fastgmm.kernels.simd.vectors import (
    add_in_order,
    fma,
    lanes_not_less,
    splat,
    store,
    total,
    where_less,
    zeros,
)
from fastgmm.kernels.tiles import GROUP, LINE, TILE, lesser, load_group, view_at

PANEL = 24  # rows: whole groups of registers, of eight numbers or fewer
PANELS = TILE // PANEL  # in a slice
# Features between two looks at whether distances are beyond their limits: k-means++ and swaps of
# 1600 centres on 31 746 image patches took 0.88 s of a processor, with 32 features 0.98, never 1.3
LOOK = 16
AT_ONCE = 4  # slices that a thread takes
# With less in a step threads gained nothing (60 000) or lost (30 000 took three times as long on a
# busy machine); and all steps, some tenths of a second, should be worth compiling for threads
STEP_OPERATIONS, ALL_OPERATIONS = 5e5, 2e9
NEAREST, EVEN, FIRST = 0, 1, 2  # planes


class Trials(NamedTuple):
    """T rows that are tried as centres on n rows in S slices; N is S TILE."""

    panels: np.ndarray  # (N d,)
    weights: np.ndarray  # (N,)
    distances: np.ndarray  # (planes, N) squared: to the nearest centre; 1; to what is tried; more
    sums: np.ndarray  # (2 + T, S) of weights times the first two; and what each trial saves
    near: np.ndarray  # (N / PANEL,) whether anything tried is within some row's limit
    tried: np.ndarray  # (T, d)


def new_trials(rows, weights, n_trials, n_planes):
    """Put rows into panels, and make space for trials."""
    n_rows, n_features = rows.shape
    n_slices = -(-n_rows // TILE)
    size = n_slices * TILE
    panels, padded = new_room(size // PANEL, n_features, PANEL), new_room(size)
    whole = n_rows // PANEL
    panels[:whole] = rows[: whole * PANEL].reshape(whole, PANEL, n_features).swapaxes(1, 2)
    last = np.minimum(np.arange(whole * PANEL, size), n_rows - 1)
    panels[whole:] = rows[last].reshape(-1, PANEL, n_features).swapaxes(1, 2)
    padded[:n_rows], padded[n_rows:] = weights, 0.0
    distances, sums = new_room(n_planes, size), np.empty((2 + n_trials, n_slices))
    distances[EVEN], sums[EVEN] = 1.0, padded.reshape(n_slices, TILE).sum(axis=1)
    near, tried = np.empty(size // PANEL, np.int64), np.empty((n_trials, n_features))
    return Trials(panels.reshape(-1), padded, distances, sums, near, tried)


def new_room(*shape):
    """Make space that begins on a cache line."""
    size, line = int(np.prod(shape)), LINE // 8
    flat = np.empty(size + line)
    start = -(flat.ctypes.data // 8) % line
    return flat[start : start + size].reshape(shape)


@inline
def squares_within(panel, r, centres, k, limits):
    """Return |x - centre_k|^2 of a group of a panel's rows, or less if all are beyond the limits.

    Sums of squares never fall as features are added, also rounded: what is beyond stays there.
    """
    squares, begin, n_features = zeros(panel, GROUP), 0, centres.shape[1]
    while begin < n_features:
        end = lesser(begin + LOOK, n_features)
        for j in range(begin, end):
            gap = load_group(panel, (j, r)) - centres[k, j]
            squares = fma(gap, gap, squares)
        if lanes_not_less(limits, squares) == 0:
            break
        begin = end
    return squares


@quiet
def try_rows(trials, limits, s):
    """Write the distances of a slice from what is tried, and what each trial would save.

    A distance beyond a row's limit may be any number beyond it.
    """
    distances, near, tried = trials.distances, trials.near, trials.tried
    n_trials, n_features = tried.shape
    for p in range(s * PANELS, (s + 1) * PANELS):
        near[p] = 0
        panel = view_at(trials.panels, p * PANEL * n_features, (n_features, PANEL))
        for t in range(n_trials):
            for r in range(0, PANEL, GROUP * splat(panel, 0.0).width):
                limit = load_group(limits, (p * PANEL + r,))
                squares = squares_within(panel, r, tried, t, limit)
                if lanes_not_less(limit, squares) != 0:
                    near[p] = 1
                store(distances, (FIRST + t, p * PANEL + r), squares)
    for t in range(n_trials):
        sums = zeros(panel, GROUP)
        for i in range(s * TILE, (s + 1) * TILE, GROUP * splat(panel, 0.0).width):
            nearest = load_group(distances, (NEAREST, i))
            squares = load_group(distances, (FIRST + t, i))
            saved = where_less(squares, nearest, nearest - squares, 0.0)
            sums = fma(load_group(trials.weights, (i,)), saved, sums)
        trials.sums[FIRST + t, s] = total(add_in_order(splat(panel, 0.0), sums))


@view
def plane_of(trials, plane):
    """View a plane of distances."""
    size = trials.weights.size
    return view_at(trials.distances, plane * size, (size,))


@quiet
def take_nearer(trials, distances):
    """Take distances for those to the nearest centre where they are less, and sum these."""
    nearest = plane_of(trials, NEAREST)
    for s in range(trials.sums.shape[1]):
        sums = zeros(nearest, GROUP)
        for i in range(s * TILE, (s + 1) * TILE, GROUP * splat(nearest, 0.0).width):
            before, after = load_group(nearest, (i,)), load_group(distances, (i,))
            after = where_less(after, before, after, before)
            store(nearest, (i,), after)
            sums = fma(load_group(trials.weights, (i,)), after, sums)
        trials.sums[NEAREST, s] = total(add_in_order(splat(nearest, 0.0), sums))


@view
def sums_of(trials, plane):
    """View the sums of a plane."""
    n_slices = trials.sums.shape[1]
    return view_at(trials.sums, plane * n_slices, (n_slices,))


@quiet
def in_order(sums):
    """Add up the sums of all slices."""
    running = 0.0
    for s in range(len(sums)):
        running += sums[s]
    return running


@quiet
def draw(trials, uniform):
    """Draw a row by weight times distance; by weight where there are no distances.

    It is the first at which what is cumulated exceeds a part of the total, or the last at which it
    grows, where rounding lets none exceed it.
    """
    plane, whole = NEAREST, in_order(sums_of(trials, NEAREST))
    if not whole > 0.0:
        plane, whole = EVEN, in_order(sums_of(trials, EVEN))
    sums, distances = sums_of(trials, plane), plane_of(trials, plane)
    left, begin, found = uniform * whole, 0, 0
    for s in range(len(sums)):
        if sums[s] > 0.0:
            begin = s * TILE
            if sums[s] > left:
                break
            left -= sums[s]
    for i in range(begin, begin + TILE):
        mass = trials.weights[i] * distances[i]
        if mass > 0.0:
            found = i
            if mass > left:
                break
            left -= mass
    return found
