"""k-means on a sample: greedy k-means++, local search, and Lloyd's assignment.

k-means++ is by Arthur and Vassilvitskii (2007), the local search by Lattanzi and Sohler (2019). One
call makes all rounds: from Python, a round on 2000 rows took five times as long as its arithmetic.
"""

import numpy as np
from numba import prange

from fastgmm.kernels.jit import kernel, parallel, subroutine
from fastgmm.kernels.simd.vectors import fma, load, splat, store, where_less, zeros
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    gather_tile,
    load_group,
    load_tile,
    new_tile,
)


@subroutine
def tile_distances(tile, centres, out):
    """Write |x - centre_k|^2 into out[k, r], for every row x of the tile."""
    n_centres, n_features = centres.shape
    for k in range(n_centres):
        for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
            squares = zeros(tile, GROUP)
            for j in range(n_features):
                gap = load_group(tile, (j, r)) - centres[k, j]
                squares = fma(gap, gap, squares)
            store(out, (k, r), squares)


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


@subroutine
def drawn(cumulative, uniform):
    """Return the first index whose cumulated weight exceeds this part of the total, or the last."""
    low, high = 0, len(cumulative) - 1
    sought = uniform * cumulative[high]
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > sought:
            high = middle
        else:
            low = middle + 1
    return low


@subroutine
def least(values):
    """Return the index of the least value, the first of equals."""
    found = 0
    for i in range(1, len(values)):
        if values[i] < values[found]:
            found = i
    return found


@subroutine
def cumulate(weights, nearest, out):
    """Cumulate weights times squared distances; the weights alone where all distances are zero."""
    running = 0.0
    for i in range(len(weights)):
        running += weights[i] * nearest[i]
        out[i] = running
    if not running > 0.0:
        running = 0.0
        for i in range(len(weights)):
            running += weights[i]
            out[i] = running


@kernel
def plus_plus(rows, weights, uniforms, chosen):
    """Choose rows by greedy k-means++: each the best of a few drawn by squared distance.

    Fills chosen (K,). uniforms (1 + rounds * trials,) are random numbers of [0, 1).
    """
    n_rows, n_features = rows.shape
    n_trials = (len(uniforms) - 1) // max(1, len(chosen) - 1)
    centres, distances = np.empty((n_trials, n_features)), np.empty((n_trials, n_rows))
    nearest, cumulative = np.empty(n_rows), np.empty(n_rows)
    trials, potentials = np.empty(n_trials, np.int64), np.empty(n_trials)
    for i in range(n_rows):
        nearest[i] = 1.0
    cumulate(weights, nearest, cumulative)
    chosen[0] = drawn(cumulative, uniforms[0])
    for i in range(n_rows):
        nearest[i] = np.inf
    for k in range(len(chosen)):
        for t in range(n_trials):
            if k:
                trials[t] = drawn(cumulative, uniforms[1 + (k - 1) * n_trials + t])
            else:
                trials[t] = chosen[0]
            for j in range(n_features):
                centres[t, j] = rows[trials[t], j]
        squared_distances(rows, centres, distances)
        for t in range(n_trials):
            potentials[t] = 0.0
            for i in range(n_rows):
                distances[t, i] = min(distances[t, i], nearest[i])
                potentials[t] += weights[i] * distances[t, i]
        best = least(potentials)
        chosen[k] = trials[best]
        for i in range(n_rows):
            nearest[i] = distances[best, i]
        cumulate(weights, nearest, cumulative)


@subroutine
def rank(rows, chosen, centres, tile, distances, found):
    """Find the nearest and the second nearest centre of chosen rows, the first of equals."""
    labels, seconds, nearest, second = found
    for begin in range(0, len(chosen), TILE):
        live = min(TILE, len(chosen) - begin)
        gather_tile(rows, chosen[begin : begin + live], live, tile)
        tile_distances(tile, centres, distances)
        for r in range(live):
            label, other, least_one, least_two = 0, 0, distances[0, r], np.inf
            for k in range(1, len(centres)):
                distance = distances[k, r]
                if distance < least_one:
                    label, other, least_one, least_two = k, label, distance, least_one
                elif distance < least_two:
                    other, least_two = k, distance
            i = chosen[begin + r]
            labels[i], seconds[i], nearest[i], second[i] = label, other, least_one, least_two


@subroutine
def replaced(k, own, found, chosen):
    """Rank the new centre k wherever the two nearest centres tell its rank.

    Fills ``chosen`` with the rows to which a third centre may be nearer now, and returns their
    number: about 2 n / K rows, so that K swaps cost as much as a few passes, not K.
    """
    labels, seconds, nearest, second = found
    count = 0
    for i in range(len(own)):
        distance = own[i]
        if (labels[i] == k or seconds[i] == k) and not distance < second[i]:
            chosen[count] = i
            count += 1
        elif labels[i] == k:
            nearest[i] = distance
        elif distance < nearest[i] or (distance == nearest[i] and k < labels[i]):
            seconds[i], second[i] = labels[i], nearest[i]
            labels[i], nearest[i] = k, distance
        elif distance < second[i]:
            seconds[i], second[i] = k, distance
    return count


@kernel
def local_search(rows, weights, uniforms, centres):
    """Replace centres by rows drawn by squared distance, where that lowers the inertia.

    Makes one trial per random number of [0, 1) in uniforms (trials,).
    """
    n_rows, n_centres, n_features = len(rows), len(centres), rows.shape[1]
    tile, distances = new_tile(n_features, rows), np.empty((n_centres, TILE), rows.dtype)
    drawn_row, own = np.empty((1, n_features)), np.empty((1, n_rows))
    lost, cumulative = np.empty(n_centres), np.empty(n_rows)
    labels, seconds = np.empty(n_rows, np.int64), np.empty(n_rows, np.int64)
    nearest, second = np.empty(n_rows), np.empty(n_rows)
    found, chosen = (labels, seconds, nearest, second), np.arange(n_rows)
    rank(rows, chosen, centres, tile, distances, found)
    for uniform in uniforms:
        cumulate(weights, nearest, cumulative)
        row = drawn(cumulative, uniform)
        for j in range(n_features):
            drawn_row[0, j] = rows[row, j]
        squared_distances(rows, drawn_row, own)
        potential, with_all = 0.0, 0.0
        for k in range(n_centres):
            lost[k] = 0.0
        for i in range(n_rows):
            potential += weights[i] * nearest[i]
            kept = min(own[0, i], nearest[i])
            with_all += weights[i] * kept
            lost[labels[i]] += weights[i] * (min(own[0, i], second[i]) - kept)
        k = least(lost)
        if with_all + lost[k] < potential:
            for j in range(n_features):
                centres[k, j] = rows[row, j]
            count = replaced(k, own[0], found, chosen)
            rank(rows, chosen[:count], centres, tile, distances, found)


@parallel
def assign_slices(rows, weights, centres, slice_rows, labels, mass, sums):
    """Fill labels (n,), mass (slices, K) and sums (slices, K, d), each slice of rows on its own."""
    for i in prange(len(mass)):
        start = i * slice_rows
        stop = min(start + slice_rows, len(rows))
        its_labels = labels[start:stop]
        assign(rows[start:stop], weights[start:stop], centres, its_labels, mass[i], sums[i])
