"""The fused E and M pass: one visit to rows leaves the moments of every component."""

from numba import get_num_threads, prange

from fastgmm.kernels.jit import either, inline, kernel, parallel, view
from fastgmm.kernels.simd.vecmath import exp_of_normal, log
from fastgmm.kernels.simd.vectors import fma, load, splat, store, total, where_less
from fastgmm.kernels.structures.dispatch import add_moments, log_densities
from fastgmm.kernels.tiles import (
    TILE,
    hide_unweighted,
    load_tile,
    load_weights,
    new_rooms,
    tile_in,
)
from fastgmm.kernels.work_queue import new_turns, take_turn

# Nats under a row's best density: what lies further is nothing, in this pass and where `pruned`
# leaves pairs out, so that a component which no row is near is dead in both. No sum can tell a
# responsibility under 2e-22 from zero; scikit-learn adds 2e-15 to each component's, and what is
# less is lost in that.
FAR = 50.0
# Registers whose sums are multiplied before one logarithm is taken of them: each sum is at most K,
# so that in float32, too, their product overflows only from 4e9 components on.
LOGARITHM_SHARED = 4


@inline
def normalise(n_components, densities, weights, alike):
    """Turn log densities into weighted responsibilities; return the log-likelihood.

    ``alike`` says that every weight is one.
    """
    zero = splat(densities, 0.0)
    log_likelihood = 0.0
    for first in range(0, TILE, LOGARITHM_SHARED * zero.width):
        masses, evidence = zero + 1.0, zero
        for r in range(first, first + LOGARITHM_SHARED * zero.width, zero.width):
            highest = load(densities, (0, r))
            for k in range(1, n_components):
                density = load(densities, (k, r))
                highest = where_less(highest, density, density, highest)
            mass = zero
            for k in range(n_components):
                gap = load(densities, (k, r)) - highest
                share = where_less(gap, -FAR, 0.0, exp_of_normal(gap))
                store(densities, (k, r), share)
                mass = mass + share
            weight = load(weights, (r,))
            if alike:
                masses, evidence = masses * mass, evidence + highest
            else:
                evidence = fma(weight, highest + log(mass), evidence)
            scale = weight / mass
            for k in range(n_components):
                store(densities, (k, r), load(densities, (k, r)) * scale)
        if alike:
            evidence = evidence + log(masses)
        log_likelihood += total(evidence)
    return log_likelihood


@either
def rooms_for(count, rows, factors):
    """Make the rooms that a lane works in, for some threads."""
    return new_rooms(count, 3 * rows.shape[1] + factors.log_scale.size + 33, rows)


@view
def furnish(room, n_features, n_components):
    """Return the tile of rows, scratch for twice as many, that of densities, and weights.

    Each has eight spare features at its end.
    """
    return (
        tile_in(room, 0, n_features + 8),
        tile_in(room, n_features + 8, 2 * n_features + 16),
        tile_in(room, 3 * n_features + 24, n_components + 8),
        room[(3 * n_features + n_components + 32) * TILE :],
    )


@kernel
def lane(rows, row_weights, start, stop, factors, room, moments):
    """Write the moments of rows[start:stop], tile by tile; return their log-likelihood."""
    moments[:] = 0.0  # by its thread: 17 MB at d = 128, K = 16 are 2.8 ms of the calling one
    n_components, n_features = factors.log_scale.size, rows.shape[1]
    tile, scratch, densities, weights = furnish(room, n_features, n_components)
    log_likelihood = 0.0
    for begin in range(start, stop, TILE):
        live = min(TILE, stop - begin)
        load_tile(rows, begin, live, tile)
        load_weights(row_weights, begin, live, weights)
        if row_weights.size:
            hide_unweighted(tile, weights, factors.means[0])
        log_densities(tile, factors, scratch, densities)
        alike = live == TILE and row_weights.size == 0
        log_likelihood += normalise(n_components, densities, weights, alike)
        add_moments(tile, densities, factors, scratch, moments)
    return log_likelihood


@parallel
def share_lanes(turns, rooms, rows, row_weights, factors, lane_rows, moments, log_likelihoods):
    """Let the threads take lane after lane, each in a room of its own."""
    for room in prange(len(rooms)):
        share = take_turn(turns)
        while share < log_likelihoods.size:
            start = share * lane_rows
            stop = min(start + lane_rows, rows.shape[0])
            log_likelihoods[share] = lane(
                rows, row_weights, start, stop, factors, rooms[room], moments[share]
            )
            share = take_turn(turns)


def shared(share_lanes, rooms_for):
    """Make a driver that lets the threads share the lanes of a call: the counterpart of serial.

    Its rooms are not made in the compiled part: what asks for the number of threads cannot be
    cached.
    """

    def walk(rows, row_weights, factors, lane_rows, moments, log_likelihoods):
        rooms = rooms_for(get_num_threads(), rows, factors)
        share_lanes(
            new_turns(), rooms, rows, row_weights, factors, lane_rows, moments, log_likelihoods
        )

    return walk


def serial(lane, rooms_for):
    """Make a driver that walks the lanes on the calling thread, for work too small to share.

    Not compiled: every caller that is has LLVM optimise ``lane`` again, and small work has one lane
    or a few.
    """

    def walk(rows, row_weights, factors, lane_rows, moments, log_likelihoods):
        room = rooms_for(1, rows, factors)[0]
        for share in range(log_likelihoods.size):
            start = share * lane_rows
            stop = min(start + lane_rows, rows.shape[0])
            log_likelihoods[share] = lane(
                rows, row_weights, start, stop, factors, room, moments[share]
            )

    return walk


# Both fill the moments (lanes, size) and log-likelihoods (lanes,), each lane on its own.
expectation, expectation_serial = shared(share_lanes, rooms_for), serial(lane, rooms_for)
