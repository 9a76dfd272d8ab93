"""The fused pass where most responsibilities are nothing: live components alone are summed.

A component whose weighted density lies e^-50 under a row's best has a responsibility under 2e-22,
which the dense pass, too, takes for zero. Here such pairs are left out; what remains is the dense
pass's answer to rounding. Rows are gathered by component, so that the dense kernels' registers are
full.

``gathered`` computes all densities and gathers for the second moments alone. ``screened`` computes
no density of a pair that a screen finds to be nothing; of every row it first takes the component
that the screen thinks most likely, and leaves out what cannot come near that.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgmm.kernels.bounds import bound_tile, centre_in_float32, most_likely, screen, upper_bounds
from fastgmm.kernels.expectation import (
    FAR,
    expectation,
    expectation_serial,
    furnish,
    normalise,
    rooms_for,
    serial,
    shared,
)
from fastgmm.kernels.jit import either, inline, kernel, parallel, step
from fastgmm.kernels.simd.vecmath import exp_of_normal, log
from fastgmm.kernels.simd.vectors import (
    append_where_not_less,
    load,
    splat,
    store,
    total,
    where_less,
)
from fastgmm.kernels.structures.full import (
    Factors,
    add_moments_of,
    centring_room,
    log_densities,
    log_densities_of,
)
from fastgmm.kernels.tiles import (
    TILE,
    gather_tile,
    hide_unweighted,
    load_tile,
    load_weights,
    new_rooms,
    tile_in,
    whole,
)
from fastgmm.kernels.work_queue import take_turn

FEWEST_ROWS = 3072  # below, probing costs more than it may save
PROBE = 48  # rows, two groups in float64: under 1% of the E step of the fewest rows
SEEN = 192  # rows that show a screen where rows lie; of 96, a tenth more pairs get through
SEGMENT_PAIRS = 1 << 18  # of row and component, listed at a time: 4 MB with densities and bounds
GATHERING = 1.2  # densities of listed rows, in times of those of a tile
SCREENED = 0.8  # of what all densities cost: above, a screen gains nothing that can be measured
FARTHEST = -3e38  # a log density in float32: no row is left without a component


@step
def new_lists(n_components, n_rows, rows):
    """Make room for what is listed of every component: rows, a number for each, their count."""
    shape = (n_components, n_rows + 16)
    return np.empty(shape, np.int32), np.empty(shape, rows.dtype), np.zeros(n_components, np.int64)


@inline
def segment_rows(n_components):
    """Count the rows that are listed at a time, whole tiles."""
    return max(SEGMENT_PAIRS // n_components // TILE, 1) * TILE


@step
def add_listed_moments(rows, begin, chosen, shares, k, factors, tile, scratch, out):
    """Add one component's moments over the rows chosen for it, by their responsibilities."""
    padded = np.empty(TILE, rows.dtype)
    for first in range(0, chosen.size, TILE):
        live = min(TILE, chosen.size - first)
        columns = gather_tile(rows, begin, chosen[first:], live, tile)
        padded[:live] = shares[first : first + live]
        padded[live:columns] = 0.0
        add_moments_of(k, tile, padded, columns, factors, scratch, out)


@step
def list_live(responsibilities, begin, chosen, shares, count):
    """Add the rows whose responsibility is more than nothing to a component's list."""
    zero = splat(responsibilities, 0.0)
    for r in range(0, TILE, zero.width):
        share = load(responsibilities, (r,))
        limit = where_less(zero, share, 0.0, np.inf)  # what is no number is listed, to be seen
        added = append_where_not_less(share, limit, chosen, (count,), begin + r)
        for i in range(count, count + added):
            shares[i] = responsibilities[chosen[i] - begin]
        count += added
    return count


@kernel
def gathered_lane(rows, row_weights, start, stop, factors, room, moments):
    """Write the moments of rows[start:stop]; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.means.shape
    tile, scratch, densities, weights = furnish(room, n_features, n_components)
    segment, size = segment_rows(n_components), moments.size // n_components
    chosen, shares, counts = new_lists(n_components, min(segment, stop - start + TILE), rows)
    log_likelihood = 0.0
    for first in range(start, stop, segment):
        counts[:] = 0
        for begin in range(first, min(first + segment, stop), TILE):
            live = min(TILE, stop - begin)
            load_tile(rows, begin, live, tile)
            load_weights(row_weights, begin, live, weights)
            if row_weights.size:
                hide_unweighted(tile, weights, factors.means[0])
            log_densities(tile, factors, scratch, densities)
            alike = live == TILE and row_weights.size == 0
            log_likelihood += normalise(n_components, densities, weights, alike)
            for k in range(n_components):
                counts[k] = list_live(densities[k], begin - first, chosen[k], shares[k], counts[k])
        for k in range(n_components):
            listed, out = chosen[k, : counts[k]], moments[k * size : (k + 1) * size]
            add_listed_moments(rows, first, listed, shares[k], k, factors, tile, scratch, out)
    return log_likelihood


@step
def list_guesses(guesses, weights, bounds, chosen, counts):
    """Add every row of positive weight to the list of the component it is guessed to be of."""
    for i in range(weights.size):
        if weights[i] > 0.0:
            k = int(guesses[i])
            chosen[k, counts[k]] = i
            counts[k] += 1
        else:
            bounds[:, i] = -np.inf


@step
def limit_rows(chosen, counts, densities, bounds, limits):
    """Write the least bound with which another component may be live in each row.

    What is known takes part no more. 2^-20 of a density is more than rounding has taken of it.
    """
    limits[:] = np.inf
    for k in range(counts.size):
        for n in range(counts[k]):
            i, density = chosen[k, n], densities[k, n]
            bounds[k, i] = -np.inf
            limits[i] = max(density - FAR - abs(density) * 2.0**-20, FARTHEST)


@step
def list_possible(bounds, limits, chosen, counts):
    """Add the rows to the lists of the components that may be live in them."""
    for k in range(counts.size):
        count = counts[k]
        for r in range(0, limits.size, splat(limits, 0.0).width):
            limit, bound = load(limits, (r,)), load(bounds, (k, r))
            count += append_where_not_less(bound, limit, chosen[k], (count,), r)
        counts[k] = count


@step
def list_densities(rows, begin, chosen, k, factors, tile, scratch, out):
    """Write one component's log densities of the rows chosen for it."""
    centred = centring_room(scratch, factors)
    found = np.empty(TILE, rows.dtype)
    for first in range(0, chosen.size, TILE):
        live = min(TILE, chosen.size - first)
        columns = gather_tile(rows, begin, chosen[first:], live, tile)
        log_densities_of(k, tile, columns, factors, centred, found)
        out[first : first + live] = found[:live]


@step
def normalise_lists(chosen, counts, weights, densities):
    """Turn listed log densities into weighted responsibilities; return the log-likelihood.

    Pairs that are nothing leave the lists: moments cost more than densities.
    """
    highest = np.full(weights.size, -np.inf)
    mass = np.zeros(weights.size)
    for k in range(counts.size):
        for i in range(counts[k]):
            highest[chosen[k, i]] = max(highest[chosen[k, i]], densities[k, i])
    for k in range(counts.size):
        for i in range(counts[k]):
            densities[k, i] -= highest[chosen[k, i]]
        for i in range(0, counts[k], splat(densities, 0.0).width):
            gap = load(densities, (k, i))
            store(densities, (k, i), where_less(gap, -FAR, 0.0, exp_of_normal(gap)))
        for i in range(counts[k]):
            mass[chosen[k, i]] += densities[k, i]
    log_likelihood = 0.0
    for r in range(0, weights.size, splat(weights, 0.0).width):
        weight, whole_mass = load(weights, (r,)), load(mass, (r,))
        term = weight * (load(highest, (r,)) + log(whole_mass))
        log_likelihood += total(where_less(0.0, weight, term, 0.0))
        store(mass, (r,), weight / whole_mass)
    for k in range(counts.size):
        kept = 0
        for i in range(counts[k]):
            row = chosen[k, i]
            share = densities[k, i] * mass[row]
            if not share <= 0.0:
                chosen[k, kept], densities[k, kept] = row, share
                kept += 1
        counts[k] = kept
    return log_likelihood


@either
def two_rooms_for(count, rows, factors):
    """Make rooms of which the second half is for float32."""
    return new_rooms(count, 2 * (3 * rows.shape[1] + factors.log_scale.size + 33), rows)


@kernel
def screened_lane(rows, row_weights, start, stop, screen, room, moments):
    """Write the moments of rows[start:stop]; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = screen.means.shape
    tile, scratch, _, _ = furnish(room, n_features, n_components)
    half = room[room.size // 2 :].view(np.float32)
    centred = tile_in(half, 0, n_features)
    segment, size = segment_rows(n_components), moments.size // n_components
    longest = min(segment, (stop - start + TILE - 1) // TILE * TILE)
    chosen, shares, counts = new_lists(n_components, longest, rows)
    bounds = np.empty((n_components, longest), np.float32)
    limits, guesses = np.empty(longest, np.float32), np.empty(longest, np.float32)
    lengths = np.empty(TILE, np.float32)
    weights = np.empty(longest)
    log_likelihood = 0.0
    for first in range(start, stop, segment):
        counts[:] = 0
        last = min(first + segment, stop)
        end = (last - first + TILE - 1) // TILE * TILE
        for begin in range(first, last, TILE):
            live, at = min(TILE, last - begin), begin - first
            load_tile(rows, begin, live, tile)
            load_weights(row_weights, begin, live, weights[at:])
            if row_weights.size:
                hide_unweighted(tile, weights[at:], screen.means[0])
            centre_in_float32(tile, screen.origin, lengths, centred)
            bound_tile(centred, lengths, screen, at, bounds)
            most_likely(bounds, at, guesses)
        list_guesses(guesses, weights[:end], bounds, chosen, counts)
        guessed = counts.copy()
        for k in range(n_components):
            listed = chosen[k, : guessed[k]]
            list_densities(rows, first, listed, k, screen, tile, scratch, shares[k])
        limit_rows(chosen, guessed, shares, bounds, limits[:end])
        list_possible(bounds, limits[:end], chosen, counts)
        for k in range(n_components):
            listed, out = chosen[k, guessed[k] : counts[k]], shares[k, guessed[k] :]
            list_densities(rows, first, listed, k, screen, tile, scratch, out)
        log_likelihood += normalise_lists(chosen, counts, weights[:end], shares)
        for k in range(n_components):
            listed, out = chosen[k, : counts[k]], moments[k * size : (k + 1) * size]
            add_listed_moments(rows, first, listed, shares[k], k, screen, tile, scratch, out)
    return log_likelihood


@parallel
def share_gathered_lanes(
    turns, rooms, rows, row_weights, factors, lane_rows, moments, log_likelihoods
):
    """Let the threads take lane after lane, each in a room of its own."""
    for room in prange(len(rooms)):
        share = take_turn(turns)
        while share < log_likelihoods.size:
            start = share * lane_rows
            stop = min(start + lane_rows, rows.shape[0])
            log_likelihoods[share] = gathered_lane(
                rows, row_weights, start, stop, factors, rooms[room], moments[share]
            )
            share = take_turn(turns)


@parallel
def share_screened_lanes(
    turns, rooms, rows, row_weights, screen, lane_rows, moments, log_likelihoods
):
    """Let the threads take lane after lane, each in a room of its own."""
    for room in prange(len(rooms)):
        share = take_turn(turns)
        while share < log_likelihoods.size:
            start = share * lane_rows
            stop = min(start + lane_rows, rows.shape[0])
            log_likelihoods[share] = screened_lane(
                rows, row_weights, start, stop, screen, rooms[room], moments[share]
            )
            share = take_turn(turns)


gathered, gathered_serial = (
    shared(share_gathered_lanes, rooms_for),
    serial(gathered_lane, rooms_for),
)
screened = shared(share_screened_lanes, two_rooms_for)
screened_serial = serial(screened_lane, two_rooms_for)


@kernel
def probe_densities(rows, probe, factors, out):
    """Write the log densities of a few rows into out (K, PROBE)."""
    n_components, n_features = factors.means.shape
    room = rooms_for(1, rows, factors)[0]
    tile, scratch, _, _ = furnish(room, n_features, n_components)
    found = np.empty(TILE, rows.dtype)
    columns = gather_tile(rows, 0, probe, probe.size, tile)
    centred = centring_room(scratch, factors)
    for k in range(n_components):
        log_densities_of(k, tile, columns, factors, centred, found)
        out[k, :] = found[: probe.size]


class Way(NamedTuple):
    """How a pass over some rows is computed; all ways give the same sums to rounding."""

    parallel: Any
    serial: Any
    given: Any  # in place of the factors


def dense(rows, factors):
    """Choose the pass that leaves nothing out."""
    return Way(expectation, expectation_serial, factors)


def choose(rows, factors):
    """Choose by a probe of a few rows: where most pairs are nothing, leave them out.

    It follows from rows and factors alone, so the sums have the same bits for any thread count.
    """
    if not isinstance(factors, Factors) or len(rows) < FEWEST_ROWS:
        return dense(rows, factors)
    n_components, n_features = factors.means.shape
    # Gathering costs as much as some 12 features: timed for d = 4 to 128 and shares of 0.03 to 0.9,
    # where each way began to gain.
    worth = min(n_features / 80, 0.4)
    if 1 / n_components > worth:
        return dense(rows, factors)
    probe = spread(PROBE, rows)
    densities = np.empty((n_components, PROBE), rows.dtype)
    probe_densities(rows, probe, factors, densities)
    live = np.mean(densities >= densities.max(axis=0) - FAR)
    if not live < worth:
        return dense(rows, factors)
    # by count, in float32's multiply-adds for a pair: the density, twice that in float64
    whole_density = n_features * n_features / 2 * rows.itemsize / 4
    least, best = SCREENED * whole_density, None
    for rank in (whole(n_features // 4, 4), whole(n_features // 2, 4)):
        if rank * n_features + live * GATHERING * whole_density < least:
            bounds = screen(factors, rows[spread(SEEN, rows)], rank)
            possible = possible_share(rows[probe], densities, bounds)
            cost = rank * n_features + possible * GATHERING * whole_density
            if cost < least:
                least, best = cost, bounds
    if best is not None:
        return Way(screened, screened_serial, best)
    return Way(gathered, gathered_serial, factors)


def spread(count, rows):
    """Return the numbers of some rows, from the first to the last."""
    return np.linspace(0, len(rows) - 1, count).astype(np.int32)


def possible_share(rows, densities, screen):
    """Return the share of pairs that a screen lets through, of rows whose densities are known."""
    bounds = upper_bounds(rows, screen)
    guessed = densities[bounds.argmax(axis=0), np.arange(len(rows))]
    return np.mean(~(bounds < guessed - FAR))
