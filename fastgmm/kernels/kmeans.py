"""k-means on a sample: greedy k-means++, local search, and Lloyd's assignment.

k-means++ is by Arthur and Vassilvitskii (2007), the local search by Lattanzi and Sohler (2019). One
call makes all rounds: from Python, a round on 2000 rows took five times as long as its arithmetic.
"""

import numpy as np
from numba import get_num_threads, prange

from fastgmm.kernels.by_address import call_for_nothing, entry_of
from fastgmm.kernels.jit import kernel, parallel, subroutine, view
from fastgmm.kernels.simd.vectors import fma, load, splat, store, where_less, zeros
from fastgmm.kernels.tiles import (
    GROUP,
    LINE,
    TILE,
    from_line,
    gather_tile,
    lesser,
    load_group,
    load_tile,
    unwritable,
    view_at,
)
from fastgmm.kernels.work_queue import new_queue, take_next


def new_workspaces(count, rows, n_centres):
    """Make space for tiles of some threads: of rows, and of their distances from each centre."""
    return np.empty((count, (rows.shape[1] + 8 + n_centres) * TILE + LINE // 8))


@view
def divide(workspace, n_features, n_centres):
    """Return the tile of rows and that of distances."""
    whole = from_line(workspace)
    tile = view_at(whole, 0, (n_features + 8, TILE))
    return tile, view_at(whole, (n_features + 8) * TILE, (n_centres, TILE))


@subroutine
def tile_distances(tile, n_columns, centres, out):
    """Write |x - centre_k|^2 into out[k, r], for the first columns x of a tile, in whole groups."""
    n_centres, n_features = centres.shape
    for k in range(n_centres):
        for r in range(0, n_columns, GROUP * splat(tile, 0.0).width):
            squares = zeros(tile, GROUP)
            for j in range(n_features):
                gap = load_group(tile, (j, r)) - centres[k, j]
                squares = fma(gap, gap, squares)
            store(out, (k, r), squares)


@subroutine
def write_distances(rows, centres, workspace, out):
    """Write the squared distance of every centre (K, d) to every row (n, d) into out (K, n)."""
    n_rows, n_features = rows.shape
    tile, distances = divide(workspace, n_features, len(centres))
    for begin in range(0, n_rows, TILE):
        live = lesser(TILE, n_rows - begin)
        load_tile(rows, begin, live, tile)
        tile_distances(tile, TILE, centres, distances)
        for k in range(len(centres)):
            for r in range(live):
                out[k, begin + r] = distances[k, r]


@kernel
def assign_slice(rows, weights, start, stop, centres, workspace, labels, mass, sums):
    """Label rows[start:stop] with their nearest centre; see `assign`."""
    n_features = rows.shape[1]
    tile, distances = divide(workspace, n_features, len(centres))
    for begin in range(start, stop, TILE):
        live = lesser(TILE, stop - begin)
        load_tile(rows, begin, live, tile)
        tile_distances(tile, TILE, centres, distances)
        for r in range(0, TILE, splat(tile, 0.0).width):
            nearest, label = load(distances, (0, r)), splat(tile, 0.0)
            for k in range(1, len(centres)):
                distance = load(distances, (k, r))
                label = where_less(distance, nearest, float(k), label)
                nearest = where_less(distance, nearest, distance, nearest)
            store(tile, (0, r), label)
        for r in range(live):
            i, k = begin + r, int(tile[0, r])
            labels[i] = k
            mass[k] += weights[i]
            for j in range(n_features):
                sums[k, j] += weights[i] * rows[i, j]


@parallel
def assign_slices(entry, queue, workspaces, rows, weights, centres, slice_rows, labels, mass, sums):
    """Let every thread take slice after slice, in a workspace of its own."""
    address, mark = entry
    for thread in prange(len(workspaces)):
        i = take_next(queue, thread, len(mass))
        while i < len(mass):
            start = i * slice_rows
            stop = lesser(start + slice_rows, len(rows))
            workspace = workspaces[thread]
            arguments = rows, weights, start, stop, centres, workspace, labels, mass[i], sums[i]
            call_for_nothing(address, mark, arguments)
            i = take_next(queue, thread, len(mass))


def assign(rows, weights, centres, slice_rows, labels, mass, sums):
    """Label rows with their nearest centre, each slice of rows on its own.

    Fills labels (n,), and adds weights to mass (slices, K), weighted rows to sums (slices, K, d).
    """
    rows = unwritable(rows)
    workspaces = new_workspaces(get_num_threads(), rows, len(centres))
    slice_of = rows, weights, 0, 0, centres, workspaces[0], labels, mass[0], sums[0]
    entry = entry_of(assign_slice, *slice_of)
    arguments = rows, weights, centres, slice_rows, labels, mass, sums
    assign_slices(entry, new_queue(), workspaces, *arguments)


def assign_serial(rows, weights, centres, slice_rows, labels, mass, sums):
    """Do the same on the calling thread."""
    rows = unwritable(rows)
    workspace = new_workspaces(1, rows, len(centres))[0]
    for i in range(len(mass)):
        start = i * slice_rows
        stop = min(start + slice_rows, len(rows))
        assign_slice(rows, weights, start, stop, centres, workspace, labels, mass[i], sums[i])


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
def choose_far_rows(rows, weights, uniforms, n_trials, chosen, workspace, room):
    """Fill chosen (K,); see `plus_plus`."""
    n_rows, n_features = rows.shape
    centres = view_at(room, 0, (n_trials, n_features))
    distances = view_at(room, n_trials * n_features, (n_trials, n_rows))
    rest = n_trials * (n_features + n_rows)
    nearest, cumulative = view_at(room, rest, (n_rows,)), view_at(room, rest + n_rows, (n_rows,))
    potentials = view_at(room, rest + 2 * n_rows, (n_trials,))
    trials = view_at(room, rest + 2 * n_rows + n_trials, (n_trials,))
    for i in range(n_rows):
        nearest[i] = 1.0
    cumulate(weights, nearest, cumulative)
    first = drawn(cumulative, uniforms[0])
    for i in range(n_rows):
        nearest[i] = np.inf
    for k in range(len(chosen)):
        for t in range(n_trials):
            trial = drawn(cumulative, uniforms[1 + (k - 1) * n_trials + t]) if k else first
            for j in range(n_features):
                centres[t, j] = rows[trial, j]
            trials[t] = trial
        write_distances(rows, centres, workspace, distances)
        for t in range(n_trials):
            potential = 0.0
            for i in range(n_rows):
                if nearest[i] < distances[t, i]:
                    distances[t, i] = nearest[i]
                potential += weights[i] * distances[t, i]
            potentials[t] = potential
        best = least(potentials)
        chosen[k] = int(trials[best])
        for i in range(n_rows):
            nearest[i] = distances[best, i]
        cumulate(weights, nearest, cumulative)


def plus_plus(rows, weights, uniforms, chosen):
    """Choose rows by greedy k-means++: each the best of a few drawn by squared distance.

    Fills chosen (K,). uniforms (1 + rounds * trials,) are random numbers of [0, 1).
    """
    n_rows, n_features = rows.shape
    n_trials = (len(uniforms) - 1) // max(1, len(chosen) - 1)
    rows = unwritable(rows)
    workspace = new_workspaces(1, rows, n_trials)[0]
    # here, since of `np.empty` Numba compiles a function for each kind of shape
    room = np.empty(n_trials * (n_features + n_rows + 2) + 2 * n_rows)
    choose_far_rows(rows, weights, uniforms, n_trials, chosen, workspace, room)


@subroutine
def rank(rows, chosen, count, centres, tile, distances, found):
    """Find the nearest and the second nearest centre of the first chosen rows, the first of equals.

    So many of them are chosen.
    """
    labels, seconds, nearest, second = found
    for begin in range(0, count, TILE):
        live = lesser(TILE, count - begin)
        # 3200 swaps rank 40 rows each: with 192 columns of a tile they took 1.9 times as long
        n_columns = gather_tile(rows, view_at(chosen, begin, (live,)), live, tile)
        tile_distances(tile, n_columns, centres, distances)
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
    for i in range(len(labels)):
        distance = own[0, i]
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
def swap_centres(rows, weights, uniforms, centres, workspace, room, numbers):
    """Replace centres; see `local_search`."""
    n_rows, n_centres, n_features = len(rows), len(centres), rows.shape[1]
    tile, distances = divide(workspace, n_features, n_centres)
    own, cumulative = view_at(room, 0, (1, n_rows)), view_at(room, n_rows, (n_rows,))
    nearest, second = view_at(room, 2 * n_rows, (n_rows,)), view_at(room, 3 * n_rows, (n_rows,))
    lost = view_at(room, 4 * n_rows, (n_centres,))
    labels, seconds = view_at(numbers, 0, (n_rows,)), view_at(numbers, n_rows, (n_rows,))
    found, chosen = (labels, seconds, nearest, second), view_at(numbers, 2 * n_rows, (n_rows,))
    for i in range(n_rows):
        chosen[i] = i
    rank(rows, chosen, n_rows, centres, tile, distances, found)
    for uniform in uniforms:
        cumulate(weights, nearest, cumulative)
        row = drawn(cumulative, uniform)
        write_distances(rows, view_at(rows, row * n_features, (1, n_features)), workspace, own)
        potential, with_all = 0.0, 0.0
        for k in range(n_centres):
            lost[k] = 0.0
        for i in range(n_rows):
            potential += weights[i] * nearest[i]
            kept, instead = own[0, i], own[0, i]
            if nearest[i] < kept:
                kept = nearest[i]
            if second[i] < instead:
                instead = second[i]
            with_all += weights[i] * kept
            lost[labels[i]] += weights[i] * (instead - kept)
        k = least(lost)
        if with_all + lost[k] < potential:
            for j in range(n_features):
                centres[k, j] = rows[row, j]
            count = replaced(k, own, found, chosen)
            rank(rows, chosen, count, centres, tile, distances, found)


def local_search(rows, weights, uniforms, centres):
    """Replace centres by rows drawn by squared distance, where that lowers the inertia.

    Makes one trial per random number of [0, 1) in uniforms (trials,).
    """
    n_rows, n_centres = len(rows), len(centres)
    rows = unwritable(rows)
    workspace = new_workspaces(1, rows, n_centres)[0]
    room, numbers = np.empty(4 * n_rows + n_centres), np.empty(3 * n_rows, np.int64)
    swap_centres(rows, weights, uniforms, centres, workspace, room, numbers)
