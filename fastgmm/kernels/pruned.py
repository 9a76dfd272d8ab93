"""The fused pass where most responsibilities are nothing: live components alone are summed.

A component whose weighted density lies e^-50 under a row's best has a responsibility under 2e-22,
which no sum can tell from zero. Here such pairs are left out; what remains is the dense pass's
answer to rounding. Rows are gathered by component, so that the dense kernels' registers are full.

``gathered`` computes all densities and gathers for the second moments alone. ``screened`` finds the
live pairs in float32 first, with bounds that allow for every rounding of that, and computes their
densities in float64: nothing but the choice of the pairs comes from float32.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from fastgmm.kernels.expectation import (
    expectation,
    expectation_serial,
    furnish,
    normalise,
    rooms_for,
    serial,
    shared,
)
from fastgmm.kernels.full import (
    Factors,
    add_moments_of,
    centring_room,
    log_densities,
    log_densities_of,
)
from fastgmm.kernels.jit import either, inline, kernel, parallel, step
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    gather_tile,
    hide_unweighted,
    load_group,
    load_tile,
    load_weights,
    new_rooms,
    store_group,
)
from fastgmm.kernels.triangular import squared_lengths
from fastgmm.kernels.vecmath import exp, log
from fastgmm.kernels.vectors import (
    append_where_not_less,
    fma,
    load,
    splat,
    store,
    total,
    where_less,
)

FAR = 50.0  # nats under a row's best: out
NOTHING = float(np.exp(-FAR))
FEWEST_ROWS = 3072  # below, probing costs more than it may save
PROBE = 48  # rows, two groups in float64: under 1% of the E step of the fewest rows
TOO_UNCERTAIN = 5.0  # nats: the float32 screen tells little, as where clusters are far or flat
SEGMENT_PAIRS = 1 << 18  # of row and component, listed at a time: 3 MB with their densities
# (1 - t) a^2 - (1/t - 1) b^2 <= (a - b)^2 and (a + b)^2 <= (1 + t) a^2 + (1/t + 1) b^2 for every t:
# with t = 1/64, the error of a distance bounds its square, and no root is taken.
SHARE = 1.0 / 64.0


class Screen(NamedTuple):
    """Factors, and a copy of them in float32 about an origin, with what that rounding may do."""

    log_scale: np.ndarray  # (K,), and the rest of the Factors: float64
    means: np.ndarray
    means_low: np.ndarray
    panels: np.ndarray
    origin: np.ndarray  # (d,) float64
    rough_log_scale: np.ndarray  # (K,)
    rough_means: np.ndarray  # (K, d) less the origin
    rough_panels: np.ndarray  # (K, P / 4, d, 4)
    slack: np.ndarray  # (K,) a squared distance's error, over |x - origin|^2 + reach
    reach: np.float32  # largest |mean - origin|^2


def screen(factors):
    """Make the Screen of float64 Factors.

    With u the rounding of float32, a computed U'(x - m) is within (d + 5) u |U|_F (|x| + |m|) of
    the true one, both lengths about the origin (Higham 2002, section 3.1).
    """
    n_features = factors.means.shape[1]
    origin = factors.means.mean(axis=0)
    means = factors.means - origin
    error = (n_features + 5) * 2.0**-24
    lengths = np.einsum("kpij,kpij->k", factors.panels, factors.panels)
    with np.errstate(over="ignore"):  # what overflows lets every pair through
        return Screen(
            *factors,
            origin,
            factors.log_scale.astype(np.float32),
            means.astype(np.float32),
            factors.panels.astype(np.float32),
            (2.0 * error**2 * lengths * (1.0 / SHARE + 1.0)).astype(np.float32),
            np.float32((means * means).sum(axis=1).max()),
        )


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
def list_live(responsibilities, weights, begin, chosen, shares, count):
    """Add the rows whose responsibility is more than nothing to a component's list."""
    for r in range(0, TILE, splat(weights, 0.0).width):
        weight = load(weights, (r,))
        limit = where_less(0.0, weight, weight * NOTHING, np.inf)
        share = load(responsibilities, (r,))
        added = append_where_not_less(share, limit, chosen, (count,), begin + r)
        for i in range(count, count + added):
            shares[i] = responsibilities[chosen[i] - begin]
        count += added
    return count


@kernel
def gathered_lane(rows, row_weights, start, stop, factors, room, moments):
    """Add the moments of rows[start:stop]; return their log-likelihood."""
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
            log_likelihood += normalise(n_components, densities, weights)
            for k in range(n_components):
                counts[k] = list_live(
                    densities[k], weights, begin - first, chosen[k], shares[k], counts[k]
                )
        for k in range(n_components):
            listed, out = chosen[k, : counts[k]], moments[k * size : (k + 1) * size]
            add_listed_moments(rows, first, listed, shares[k], k, factors, tile, scratch, out)
    return log_likelihood


@step
def centre_in_float32(tile, origin, lengths, out):
    """Write the tile less an origin in float32, and its columns' squared lengths."""
    lengths[:] = 0.0
    for j in range(origin.size):
        for r in range(TILE):
            value = np.float32(tile[j, r] - origin[j])
            out[j, r] = value
            lengths[r] += value * value


@step
def squared_distances(tile, screen, scratch, out):
    """Write |U'(x - mean)|^2 of every component k and column r into out[k, r]."""
    centred = centring_room(scratch, screen)
    for k in range(len(screen.rough_means)):
        for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
            for j in range(screen.rough_means.shape[1]):
                a, b, c = load_group(tile, j, r)
                mean = screen.rough_means[k, j]
                store_group(centred, j, 0, (a - mean, b - mean, c - mean))
            store_group(
                out,
                k,
                r,
                squared_lengths(screen.rough_panels[k], centred, 0),
            )


@step
def list_possible(squares, lengths, weights, begin, screen, chosen, counts):
    """Add a tile's rows to the lists of the components that may be live in them."""
    n_components = screen.rough_log_scale.size
    for r in range(0, TILE, splat(squares, 0.0).width):
        reach = load(lengths, (r,)) + screen.reach
        best = splat(squares, -np.inf)
        for k in range(n_components):
            error = fma(reach, -0.5 * screen.slack[k], screen.rough_log_scale[k])
            lower = fma(load(squares, (k, r)), -0.5 * (1.0 + SHARE), error)
            best = where_less(best, lower, lower, best)
        limit = where_less(0.0, load(weights, (r,)), best - FAR, np.inf)
        for k in range(n_components):
            error = fma(reach, 0.5 * screen.slack[k], screen.rough_log_scale[k])
            upper = fma(load(squares, (k, r)), -0.5 * (1.0 - SHARE), error)
            counts[k] += append_where_not_less(upper, limit, chosen[k], (counts[k],), begin + r)


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
    """Turn listed log densities into weighted responsibilities; return the log-likelihood."""
    highest = np.full(weights.size, -np.inf)
    mass = np.zeros(weights.size)
    for k in range(counts.size):
        for i in range(counts[k]):
            highest[chosen[k, i]] = max(highest[chosen[k, i]], densities[k, i])
    width = splat(densities, 0.0).width
    for k in range(counts.size):
        for i in range(counts[k]):
            densities[k, i] -= highest[chosen[k, i]]
        for i in range(0, counts[k], width):
            store(densities, (k, i), exp(load(densities, (k, i))))
        for i in range(counts[k]):
            mass[chosen[k, i]] += densities[k, i]
    log_likelihood = 0.0
    for r in range(0, weights.size, width):
        weight, whole_mass = load(weights, (r,)), load(mass, (r,))
        term = weight * (load(highest, (r,)) + log(whole_mass))
        log_likelihood += total(where_less(0.0, weight, term, 0.0))
        store(mass, (r,), weight / whole_mass)
    for k in range(counts.size):
        for i in range(counts[k]):
            densities[k, i] *= mass[chosen[k, i]]
    return log_likelihood


@either
def two_rooms_for(count, rows, factors):
    """Make rooms of which the second half is for float32."""
    return new_rooms(count, 2 * (3 * rows.shape[1] + factors.log_scale.size + 33), rows)


@kernel
def screened_lane(rows, row_weights, start, stop, screen, room, moments):
    """Add the moments of float64 rows[start:stop]; return their log-likelihood."""
    n_components, n_features = screen.means.shape
    tile, scratch, _, _ = furnish(room, n_features, n_components)
    half = room[room.size // 2 :].view(np.float32)
    small, small_scratch, squares, _ = furnish(half, n_features, n_components)
    lengths, tile_weights = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    segment, size = segment_rows(n_components), moments.size // n_components
    chosen, shares, counts = new_lists(n_components, min(segment, stop - start + TILE), rows)
    log_likelihood = 0.0
    for first in range(start, stop, segment):
        counts[:] = 0
        last = min(first + segment, stop)
        weights = np.empty((last - first + TILE - 1) // TILE * TILE)
        for begin in range(first, last, TILE):
            live, here = min(TILE, last - begin), weights[begin - first :]
            load_tile(rows, begin, live, tile)
            load_weights(row_weights, begin, live, here)
            if row_weights.size:
                hide_unweighted(tile, here, screen.means[0])
            for r in range(TILE):  # a weight may be too small for float32
                tile_weights[r] = here[r] > 0.0
            centre_in_float32(tile, screen.origin, lengths, small)
            squared_distances(small, screen, small_scratch, squares)
            list_possible(squares, lengths, tile_weights, begin - first, screen, chosen, counts)
        for k in range(n_components):
            listed = chosen[k, : counts[k]]
            list_densities(rows, first, listed, k, screen, tile, scratch, shares[k])
        log_likelihood += normalise_lists(chosen, counts, weights, shares)
        for k in range(n_components):
            listed, out = chosen[k, : counts[k]], moments[k * size : (k + 1) * size]
            add_listed_moments(rows, first, listed, shares[k], k, screen, tile, scratch, out)
    return log_likelihood


@parallel
def share_gathered_lanes(rooms, rows, row_weights, factors, lane_rows, moments, log_likelihoods):
    """Let the threads take lane after lane, each thread in its own room."""
    for share in prange(log_likelihoods.size):
        start = share * lane_rows
        stop = min(start + lane_rows, rows.shape[0])
        log_likelihoods[share] = gathered_lane(
            rows, row_weights, start, stop, factors, rooms[get_thread_id()], moments[share]
        )


@parallel
def share_screened_lanes(rooms, rows, row_weights, screen, lane_rows, moments, log_likelihoods):
    """Let the threads take lane after lane, each thread in its own room."""
    for share in prange(log_likelihoods.size):
        start = share * lane_rows
        stop = min(start + lane_rows, rows.shape[0])
        log_likelihoods[share] = screened_lane(
            rows, row_weights, start, stop, screen, rooms[get_thread_id()], moments[share]
        )


gathered, gathered_serial = (
    shared(share_gathered_lanes, rooms_for),
    serial(gathered_lane, rooms_for),
)
screened = shared(share_screened_lanes, two_rooms_for)
screened_serial = serial(screened_lane, two_rooms_for)


@kernel
def live_share(rows, probe, factors):
    """Return the share of components that are live in a few rows."""
    n_components, n_features = factors.means.shape
    room = rooms_for(1, rows, factors)[0]
    tile, scratch, densities, _ = furnish(room, n_features, n_components)
    columns = gather_tile(rows, 0, probe, probe.size, tile)
    centred = centring_room(scratch, factors)
    for k in range(n_components):
        log_densities_of(k, tile, columns, factors, centred, densities[k])
    live = 0
    for r in range(probe.size):
        best = densities[:n_components, r].max()
        live += (densities[:n_components, r] >= best - FAR).sum()
    return live / (n_components * probe.size)


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
    worth = n_features / 80
    if 1 / n_components > worth:
        return dense(rows, factors)
    probe = np.linspace(0, len(rows) - 1, PROBE).astype(np.int32)
    share = live_share(rows, probe, factors)
    if share < min(worth, 0.3) and rows.dtype == np.float64:
        bounds = screen(factors)
        if uncertainty(rows[probe], bounds) < TOO_UNCERTAIN:
            return Way(screened, screened_serial, bounds)
    if share < min(worth, 0.4):
        return Way(gathered, gathered_serial, factors)
    return dense(rows, factors)


def uncertainty(rows, screen):
    """Return how far apart, in nats, the screen's bounds of most rows lie by rounding alone."""
    centred = rows - screen.origin
    lengths = np.einsum("ij,ij->i", centred, centred)
    return float(np.median(lengths) + screen.reach) * float(screen.slack.max())
