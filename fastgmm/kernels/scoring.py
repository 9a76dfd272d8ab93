"""The E step alone: log-likelihoods, responsibilities or labels of the rows of a block.

What is wanted follows from the array to fill: (n,) of floating point, (n, K), or (n,) of integers.
"""

import numpy as np
from numba import get_num_threads, prange, types
from numba.extending import overload

from fastgmm.kernels.expectation import furnish, rooms_for
from fastgmm.kernels.jit import inline, kernel, parallel, step
from fastgmm.kernels.simd.vecmath import exp, log
from fastgmm.kernels.simd.vectors import load, splat, store, where_less
from fastgmm.kernels.structures.dispatch import log_densities
from fastgmm.kernels.tiles import TILE, load_tile
from fastgmm.kernels.work_queue import new_turns, take_turn


@inline
def highest_density(n_components, densities, r):
    """Return each row's highest log density; a finite number, so that subtracting it is safe."""
    highest = splat(densities, np.finfo(densities.dtype).min)
    for k in range(n_components):
        density = load(densities, (k, r))
        highest = where_less(highest, density, density, highest)
    return highest


@step
def write_log_likelihoods(n_components, densities, begin, live, out):
    """Write log of every row's summed densities; -inf out of every component's reach."""
    zero = splat(densities, 0.0)
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = highest_density(n_components, densities, r)
        mass = splat(densities, 0.0)
        for k in range(n_components):
            mass = mass + exp(load(densities, (k, r)) - highest)
        store(densities, (0, r), where_less(zero, mass, highest + log(mass), -np.inf))
    for r in range(live):
        out[begin + r] = densities[0, r]


@step
def write_responsibilities(n_components, densities, begin, live, out):
    """Write every row's densities over their sum; equal shares where all of them are zero."""
    zero = splat(densities, 0.0)
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = highest_density(n_components, densities, r)
        mass = splat(densities, 0.0)
        for k in range(n_components):
            share = exp(load(densities, (k, r)) - highest)
            store(densities, (k, r), share)
            mass = mass + share
        for k in range(n_components):
            share = load(densities, (k, r)) / mass
            store(densities, (k, r), where_less(zero, mass, share, 1.0 / n_components))
    for r in range(live):
        for k in range(n_components):
            out[begin + r, k] = densities[k, r]


@step
def write_labels(n_components, densities, begin, live, out):
    """Write the component of the highest density, the first of equals."""
    for r in range(0, TILE, splat(densities, 0.0).width):
        highest = load(densities, (0, r))
        label = splat(densities, 0.0)
        for k in range(1, n_components):
            density = load(densities, (k, r))
            label = where_less(highest, density, float(k), label)
            highest = where_less(highest, density, density, highest)
        store(densities, (0, r), label)
    for r in range(live):
        out[begin + r] = int(densities[0, r])


def write(n_components, densities, begin, live, out):
    """Write what ``out`` asks for."""


@overload(write)
def _write(n_components, densities, begin, live, out):
    if out.ndim == 2:
        return write_responsibilities.py_func
    if isinstance(out.dtype, types.Integer):
        return write_labels.py_func
    return write_log_likelihoods.py_func


@kernel
def lane(rows, start, stop, factors, room, out):
    """Score rows[start:stop], tile by tile."""
    n_components, n_features = factors.log_scale.size, rows.shape[1]
    tile, scratch, densities, _ = furnish(room, n_features, n_components)
    for begin in range(start, stop, TILE):
        live = min(TILE, stop - begin)
        load_tile(rows, begin, live, tile)
        log_densities(tile, factors, scratch, densities)
        write(n_components, densities, begin, live, out)


@parallel
def share_lanes(turns, rooms, rows, factors, lane_rows, out):
    """Let the threads take lane after lane, each in a room of its own."""
    for room in prange(len(rooms)):
        start = take_turn(turns) * lane_rows
        while start < rows.shape[0]:
            lane(rows, start, min(start + lane_rows, rows.shape[0]), factors, rooms[room], out)
            start = take_turn(turns) * lane_rows


def score(rows, factors, lane_rows, out):
    """Fill ``out`` for every row of a block, each lane on its own."""
    rooms = rooms_for(get_num_threads(), rows, factors)
    share_lanes(new_turns(), rooms, rows, factors, lane_rows, out)


def score_serial(rows, factors, lane_rows, out):
    """Do the same on the calling thread, for work too small to share; see expectation_serial."""
    room = rooms_for(1, rows, factors)[0]
    for start in range(0, rows.shape[0], lane_rows):
        lane(rows, start, min(start + lane_rows, rows.shape[0]), factors, room, out)
