"""Lloyd's assignment: rows labelled with the nearest centre, and summed."""

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
def assign_slice(rows, weights, start, stop, centres, workspace, labels, mass, sums):
    """Label rows[start:stop] with their nearest centre; see `assign`."""
    n_features = rows.shape[1]
    tile, distances = divide(workspace, n_features, len(centres))
    for begin in range(start, stop, TILE):
        live = lesser(TILE, stop - begin)
        load_tile(rows, begin, live, tile)
        tile_distances(tile, centres, distances)
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
