"""The E step alone: log-likelihoods, responsibilities or labels of the rows of a block.

What is to be filled decides which: an array (n,) of floating point, (n, K), (n,) of integers, or
`Columns`.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, prange

from fastgmm.kernels.by_address import call_for_nothing, entry_of
from fastgmm.kernels.expectation import divide, new_workspaces
from fastgmm.kernels.jit import inline, kernel, parallel, subroutine
from fastgmm.kernels.simd.vecmath import exp, log
from fastgmm.kernels.simd.vectors import load, splat, store, where_less
from fastgmm.kernels.structures.dispatch import log_densities, n_densities
from fastgmm.kernels.tiles import TILE, lesser, load_tile, unwritable
from fastgmm.kernels.work_queue import new_queue, take_next


class Columns(NamedTuple):
    """Labels and responsibilities of a block, column by column as tables are written.

    To turn responsibilities (n, K) into columns and to find their labels took a fifth of the
    processor time of writing them to Parquet.
    """

    labels: npt.NDArray[np.int64]  # (n,)
    responsibilities: npt.NDArray[np.floating]  # (K, n)
    first: int  # row of the block that is the first to be scored


class Room(NamedTuple):
    """Where a kernel writes each score of a row, and no rows where nobody asks for it.

    One type whatever is asked for: a kernel for each of the four took 2.3 s to compile, this one
    1.3.
    """

    log_likelihoods: npt.NDArray[np.floating]  # (n,)
    responsibilities: npt.NDArray[np.floating]  # (n, K)
    labels: npt.NDArray[np.int64]  # (n,)
    columns: npt.NDArray[np.floating]  # (K, n) responsibilities
    first: int


@cache
def no_room(dtype):
    """Return room for no scores."""
    nothing = np.empty((0, 0), dtype)
    return Room(np.empty(0, dtype), nothing, np.empty(0, np.int64), nothing, 0)


def room_in(out, dtype):
    """Return the room that an array or ``Columns`` are."""
    room = no_room(dtype)
    if isinstance(out, Columns):
        return room._replace(labels=out.labels, columns=out.responsibilities, first=int(out.first))
    if out.ndim == 2:
        return room._replace(responsibilities=out)
    if out.dtype == np.int64:
        return room._replace(labels=out)
    return room._replace(log_likelihoods=out)


@inline
def highest_density(n_components, densities, r):
    """Return the highest log density per row; finite, so that it can be subtracted."""
    highest = splat(densities, np.finfo(densities.dtype).min)
    for k in range(n_components):
        density = load(densities, (k, r))
        highest = where_less(highest, density, density, highest)
    return highest


@subroutine
def write_log_likelihoods(n_components, densities, tile, begin, live, out):
    """Write the log-likelihood per row: -inf where all densities are zero."""
    zero = splat(densities, 0.0)
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = highest_density(n_components, densities, r)
        mass = splat(densities, 0.0)
        for k in range(n_components):
            mass = mass + exp(load(densities, (k, r)) - highest)
        store(densities, (0, r), where_less(zero, mass, highest + log(mass), -np.inf))
    for r in range(live):
        out[begin + r] = densities[0, r]


@inline
def to_responsibilities(n_components, densities):
    """Replace the log densities per row by responsibilities: 1 / K where all densities are zero."""
    zero = splat(densities, 0.0)
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = highest_density(n_components, densities, r)
        mass = splat(densities, 0.0)
        for k in range(n_components):
            density = exp(load(densities, (k, r)) - highest)
            store(densities, (k, r), density)
            mass = mass + density
        for k in range(n_components):
            responsibility = load(densities, (k, r)) / mass
            store(densities, (k, r), where_less(zero, mass, responsibility, 1.0 / n_components))


@subroutine
def write_responsibilities(n_components, densities, tile, begin, live, out):
    """Write the responsibilities per row."""
    for r in range(live):
        for k in range(n_components):
            out[begin + r, k] = densities[k, r]


@subroutine
def write_labels(n_components, densities, tile, begin, live, out):
    """Write the component of the highest density per row, the first of equals.

    The tile has been read, and holds them meanwhile.
    """
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = load(densities, (0, r))
        label = splat(densities, 0.0)
        for k in range(1, n_components):
            density = load(densities, (k, r))
            label = where_less(highest, density, float(k), label)
            highest = where_less(highest, density, density, highest)
        store(tile, (0, r), label)
    for r in range(live):
        out[begin + r] = int(tile[0, r])


@subroutine
def write_columns(n_components, densities, tile, begin, live, out):
    """Write the responsibilities, each component's in a column of its own."""
    for k in range(n_components):
        for r in range(live):
            out[k, begin + r] = densities[k, r]


@subroutine
def write(n_components, densities, tile, begin, live, out):
    """Write the scores that there is room for."""
    if out.labels.size:
        write_labels(n_components, densities, tile, begin, live, out.labels)
    if out.responsibilities.size or out.columns.size:
        to_responsibilities(n_components, densities)
    if out.responsibilities.size:
        write_responsibilities(n_components, densities, tile, begin, live, out.responsibilities)
    if out.columns.size:
        write_columns(n_components, densities, tile, begin, live, out.columns)
    if out.log_likelihoods.size:
        write_log_likelihoods(n_components, densities, tile, begin, live, out.log_likelihoods)


@kernel
def score_slice(rows, start, stop, factors, workspace, out):
    """Score rows[start:stop], tile by tile."""
    n_components, n_features = n_densities(factors), rows.shape[1]
    tile, scratch, densities, _ = divide(workspace, n_features, n_components)
    for begin in range(start, stop, TILE):
        live = lesser(TILE, stop - begin)
        load_tile(rows, begin, live, tile)
        log_densities(tile, factors, scratch, densities)
        write(n_components, densities, tile, out.first + begin, live, out)


@parallel
def score_slices(entry, queue, workspaces, rows, factors, slice_rows, out):
    """Let every thread take slice after slice, in a workspace of its own."""
    address, mark = entry
    for thread in prange(len(workspaces)):
        n_slices = -(-rows.shape[0] // slice_rows)
        start = take_next(queue, thread, n_slices) * slice_rows
        while start < rows.shape[0]:
            stop = lesser(start + slice_rows, rows.shape[0])
            arguments = rows, start, stop, factors, workspaces[thread], out
            call_for_nothing(address, mark, arguments)
            start = take_next(queue, thread, n_slices) * slice_rows


def score(rows, factors, slice_rows, out):
    """Fill ``out`` for every row of a block, each slice on its own."""
    rows, room = unwritable(rows), room_in(out, rows.dtype)
    workspaces = new_workspaces(get_num_threads(), rows, factors)
    entry = entry_of(score_slice, rows, 0, 0, factors, workspaces[0], room)
    score_slices(entry, new_queue(), workspaces, rows, factors, slice_rows, room)


def score_serial(rows, factors, slice_rows, out):
    """Do the same on the calling thread; see expectation_serial."""
    rows, room = unwritable(rows), room_in(out, rows.dtype)
    workspace = new_workspaces(1, rows, factors)[0]
    for start in range(0, rows.shape[0], slice_rows):
        stop = min(start + slice_rows, rows.shape[0])
        score_slice(rows, start, stop, factors, workspace, room)
