"""k-means on a sample: distances to candidate centres, and Lloyd's assignment with its sums."""

import numpy as np
from numba import prange

from fastgmm.kernels.jit import kernel, parallel, step
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    add_squares,
    load_group,
    load_tile,
    new_tile,
    no_group,
    store_group,
)
from fastgmm.kernels.vectors import load, splat, store, where_less


@step
def tile_distances(tile, centres, out):
    """Write |x - centre_k|^2 into out[k, r], for every row x of the tile."""
    n_centres, n_features = centres.shape
    for k in range(n_centres):
        for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
            squares = no_group(tile)
            for j in range(n_features):
                a, b, c = load_group(tile, j, r)
                centre = centres[k, j]
                squares = add_squares(squares, (a - centre, b - centre, c - centre))
            store_group(out, k, r, squares)


@kernel
def squared_distances(rows, centres, out):
    """Write the squared distance of every centre (K, d) to every row (n, d) into out (K, n)."""
    tile = new_tile(rows.shape[1], rows)
    distances = np.empty((len(centres), TILE), rows.dtype)
    for begin in range(0, len(rows), TILE):
        live = min(TILE, len(rows) - begin)
        load_tile(rows, begin, live, tile)
        tile_distances(tile, centres, distances)
        for k in range(len(centres)):
            for r in range(live):
                out[k, begin + r] = distances[k, r]


@kernel
def assign(rows, weights, centres, labels, mass, sums):
    """Label rows with their nearest centre; add weights to mass (K,), weighted rows to sums.

    Returns the weighted sum of squared distances.
    """
    tile = new_tile(rows.shape[1], rows)
    distances = np.empty((len(centres), TILE), rows.dtype)
    inertia = 0.0
    for begin in range(0, len(rows), TILE):
        live = min(TILE, len(rows) - begin)
        load_tile(rows, begin, live, tile)
        tile_distances(tile, centres, distances)
        for r in range(0, TILE, splat(tile, 0.0).width):
            nearest, label = load(distances, (0, r)), splat(tile, 0.0)
            for k in range(1, len(centres)):
                distance = load(distances, (k, r))
                label = where_less(distance, nearest, float(k), label)
                nearest = where_less(distance, nearest, distance, nearest)
            store(distances, (0, r), nearest)
            store(tile, (0, r), label)
        for r in range(live):
            i, k = begin + r, int(tile[0, r])
            labels[i] = k
            mass[k] += weights[i]
            inertia += weights[i] * distances[0, r]
            for j in range(rows.shape[1]):
                sums[k, j] += weights[i] * rows[i, j]
    return inertia


@parallel
def share_distances(rows, centres, lane_rows, out):
    """Fill out (K, n), each lane of rows on its own."""
    for share in prange((len(rows) + lane_rows - 1) // lane_rows):
        start = share * lane_rows
        stop = min(start + lane_rows, len(rows))
        squared_distances(rows[start:stop], centres, out[:, start:stop])


@parallel
def share_assignment(rows, weights, centres, lane_rows, labels, mass, sums):
    """Fill labels (n,), mass (lanes, K) and sums (lanes, K, d), each lane of rows on its own."""
    for share in prange(len(mass)):
        start = share * lane_rows
        stop = min(start + lane_rows, len(rows))
        of_lane = labels[start:stop]
        assign(rows[start:stop], weights[start:stop], centres, of_lane, mass[share], sums[share])
