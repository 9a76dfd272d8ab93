"""The fused pass where most responsibilities are nothing: live components alone are summed.

A component whose weighted density lies e^-50 under a row's best has a responsibility under 2e-22,
which the dense pass, too, takes for zero. Here such pairs of row and component are left out; what
remains is the dense pass's answer to rounding. Rows are gathered by component, so that the dense
kernels' registers are full.

The kernel follows from the type of the factors. With ``Gathered`` factors all densities are
computed, and rows are gathered for the second moments alone. With ``BoundFactors`` no density is
computed of a pair that an upper bound shows to be nothing: each row first takes the component of
its largest bound, then those that may come near it.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.audit import audited
from fastgmm.kernels.bounds import (
    BoundFactors,
    TruncatedFactors,
    bound_factors,
    bound_tile,
    centre_in_float32,
    most_likely,
    upper_bounds,
)
from fastgmm.kernels.expectation import KERNELS, divide, new_workspaces, normalise
from fastgmm.kernels.jit import inline, kernel, subroutine
from fastgmm.kernels.simd.vecmath import exp_of_normal, log
from fastgmm.kernels.simd.vectors import (
    append_where_not_less,
    load,
    splat,
    store,
    total,
    where_less,
)
from fastgmm.kernels.structures import full_2d
from fastgmm.kernels.structures.full import (
    Factors,
    add_moments_of,
    log_densities,
    log_densities_of,
)
from fastgmm.kernels.structures.full_2d import log_densities_of_two
from fastgmm.kernels.tiles import (
    FAR,
    TILE,
    gather_tile,
    greater,
    lesser,
    load_weighted,
    narrow,
    tile_in,
    unwritable,
    whole,
)

FEWEST_ROWS = 3072  # below, probing costs more than it may save
PROBE = 48  # rows, two groups in float64: under 1% of the E step of the fewest rows
SEEN = 192  # rows that show the bounds where rows lie; of 96, a tenth more pairs get through
SEGMENT_PAIRS = 1 << 20  # of row and component, listed at a time: 16 MB with densities and bounds
GATHERING = 1.2  # cost of the density of a listed row, relative to a row of a tile
BOUNDED = 0.8  # of what all densities cost: above, bounds gain nothing that can be measured
GUESSES = 2  # densities of a row computed before others are asked for: with one, a fifth more are
FARTHEST = -3e38  # a log density in float32: no row is left without a component


class Gathered(NamedTuple):
    """Factors of the full structure, for a pass that gathers the rows of live pairs."""

    log_scale: np.ndarray  # as in full.Factors
    means: np.ndarray
    means_low: np.ndarray
    panels: np.ndarray


class Lists(NamedTuple):
    """Rows of a segment, listed by component."""

    rows: np.ndarray  # (K, n) int32, numbers within the segment
    values: np.ndarray  # (K, n) of each listed row a log density, later a responsibility
    counts: np.ndarray  # (K,) how many rows are listed


@subroutine
def new_lists(n_components, n_rows, like):
    """Make empty lists of so many rows at most, with values of the type of ``like``."""
    shape = (n_components, n_rows + 16)
    counts = np.zeros(n_components, np.int64)
    return Lists(np.empty(shape, np.int32), np.empty(shape, like.dtype), counts)


@inline
def segment_rows(n_components, n_rows):
    """Count the rows that are listed at a time, whole tiles: segments are about equal."""
    most = greater(SEGMENT_PAIRS // n_components // TILE, 1) * TILE
    n_segments = greater((n_rows + most - 1) // most, 1)
    return whole((n_rows + n_segments - 1) // n_segments, TILE)


@subroutine
def write_listed_densities(segment, lists, known, factors, tile, scratch):
    """Write the log densities of the listed rows that follow the ``known`` (K,) of each list."""
    group, densities = narrow(scratch), np.empty(TILE, segment.dtype)
    for k in range(lists.counts.size):
        for first in range(known[k], lists.counts[k], TILE):
            live = lesser(TILE, lists.counts[k] - first)
            columns = gather_tile(segment, lists.rows[k, first:], live, tile)
            log_densities_of(k, tile, columns, factors, group, densities)
            lists.values[k, first : first + live] = densities[:live]


@subroutine
def add_listed_moments(segment, lists, factors, tile, scratch, moments):
    """Add the moments of the listed rows, whose values are responsibilities."""
    size, padded = moments.size // lists.counts.size, np.empty(TILE, segment.dtype)
    for k in range(lists.counts.size):
        out = moments[k * size : (k + 1) * size]
        for first in range(0, lists.counts[k], TILE):
            live = lesser(TILE, lists.counts[k] - first)
            columns = gather_tile(segment, lists.rows[k, first:], live, tile)
            padded[:live] = lists.values[k, first : first + live]
            padded[live:columns] = 0.0
            add_moments_of(k, tile, padded, columns, factors, scratch, out)


@subroutine
def list_live(responsibilities, begin, lists):
    """Add the rows of a tile to the lists of the components whose responsibility is not zero."""
    zero = splat(responsibilities, 0.0)
    for k in range(lists.counts.size):
        count = lists.counts[k]
        for r in range(0, TILE, zero.width):
            value = load(responsibilities, (k, r))
            limit = where_less(zero, value, 0.0, np.inf)  # NaN is listed, to be seen
            added = append_where_not_less(value, limit, lists.rows[k], (count,), begin + r)
            for i in range(count, count + added):
                lists.values[k, i] = responsibilities[k, lists.rows[k, i] - begin]
            count += added
        lists.counts[k] = count


@kernel
def gathered_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop]; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.means.shape
    tile, scratch, densities, weights = divide(workspace, n_features, n_components)
    length = segment_rows(n_components, stop - start)
    lists = new_lists(n_components, length, rows)
    log_likelihood = 0.0
    for first in range(start, stop, length):
        segment = rows[first : lesser(first + length, stop)]
        segment_weights = row_weights[first : first + length]
        lists.counts[:] = 0
        for begin in range(0, len(segment), TILE):
            alike = load_weighted(
                segment, segment_weights, begin, len(segment), factors.means, tile, weights
            )
            if n_features == 2:
                log_densities_of_two(tile, factors, densities)
            else:
                log_densities(tile, factors, scratch, densities)
            log_likelihood += normalise(n_components, densities, weights, alike)
            list_live(densities, begin, lists)
        add_listed_moments(segment, lists, factors, tile, scratch, moments)
    return log_likelihood


@subroutine
def write_bounds(segment, row_weights, factors, workspace, weights, bounds):
    """Write the weight of every row, and an upper bound of every pair's log density."""
    n_components, n_features = factors.means.shape
    tile, scratch, _, _ = divide(workspace, n_features, n_components)
    centred = tile_in(scratch.reshape(scratch.size).view(np.float32), 0, n_features)
    lengths = np.empty(TILE, np.float32)
    for begin in range(0, len(segment), TILE):
        its_weights = weights[begin:]
        load_weighted(segment, row_weights, begin, len(segment), factors.means, tile, its_weights)
        centre_in_float32(tile, factors.origin, lengths, centred)
        bound_tile(centred, lengths, factors, begin, bounds)


@subroutine
def list_guesses(guesses, weights, limits, bounds, lists):
    """Add every row of positive weight to the list of the component it is guessed to be of.

    None is listed whose bound is below the row's limit.
    """
    for i in range(weights.size):
        k = int(guesses[i])
        if weights[i] > 0.0:
            if not bounds[k, i] < limits[i]:
                lists.rows[k, lists.counts[k]] = i
                lists.counts[k] += 1
        else:
            bounds[:, i] = -np.inf


@subroutine
def limit_rows(lists, known, bounds, margin, limits):
    """Raise limits to the least bound with which another component may come near a row's best.

    That is a margin below the densities which follow the ``known`` of each list. What is listed
    takes part no more. 2^-20 of a density is more than rounding has taken of it.
    """
    for k in range(lists.counts.size):
        for n in range(known[k], lists.counts[k]):
            i, density = lists.rows[k, n], lists.values[k, n]
            bounds[k, i] = -np.inf
            limits[i] = max(density - margin - abs(density) * 2.0**-20, limits[i], FARTHEST)


@subroutine
def list_possible(bounds, limits, lists):
    """Add the rows to the lists of the components that may be live in them."""
    for k in range(lists.counts.size):
        count = lists.counts[k]
        for r in range(0, limits.size, splat(limits, 0.0).width):
            limit, bound = load(limits, (r,)), load(bounds, (k, r))
            count += append_where_not_less(bound, limit, lists.rows[k], (count,), r)
        lists.counts[k] = count


@subroutine
def normalise_lists(lists, weights, margin, likelihoods):
    """Turn listed log densities into weighted responsibilities; return the log-likelihood.

    Pairs farther than the margin below a row's best leave the lists: moments cost more than
    densities. The log-likelihood of each row is written.
    """
    chosen, densities, counts = lists
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
            store(densities, (k, i), where_less(gap, -margin, 0.0, exp_of_normal(gap)))
        for i in range(counts[k]):
            mass[chosen[k, i]] += densities[k, i]
    log_likelihood = 0.0
    for r in range(0, weights.size, splat(weights, 0.0).width):
        weight, whole_mass = load(weights, (r,)), load(mass, (r,))
        its = load(highest, (r,)) + log(whole_mass)
        store(likelihoods, (r,), its)
        log_likelihood += total(where_less(0.0, weight, weight * its, 0.0))
        store(mass, (r,), weight / whole_mass)
    for k in range(counts.size):
        kept = 0
        for i in range(counts[k]):
            row = chosen[k, i]
            responsibility = densities[k, i] * mass[row]
            if not responsibility <= 0.0:
                chosen[k, kept], densities[k, kept] = row, responsibility
                kept += 1
        counts[k] = kept
    return log_likelihood


@subroutine
def audit(segment, weights, first, likelihoods, factors, tile, scratch, told):
    """Add what rows to be audited have lost of their log-likelihood, and their weights, to told.

    ``first`` is the place of the segment in the call.
    """
    chosen, count = audited(len(segment), first, weights)
    if count == 0:
        return
    densities = np.empty((factors.log_scale.size, TILE), segment.dtype)
    group = narrow(scratch)
    for n in range(0, count, TILE):
        live = lesser(TILE, count - n)
        columns = gather_tile(segment, chosen[n:], live, tile)
        for k in range(len(densities)):
            log_densities_of(k, tile, columns, factors, group, densities[k])
        for i in range(live):
            row, highest, mass = chosen[n + i], densities[:, i].max(), 0.0
            for k in range(len(densities)):
                mass += np.exp(densities[k, i] - highest)
            told[0] += weights[row] * max(highest + np.log(mass) - likelihoods[row], 0.0)
            told[1] += weights[row]


@subroutine
def sum_bounded(rows, row_weights, start, stop, factors, margin, workspace, moments, told):
    """Write the moments of what comes within a margin of a row's best; return the log-likelihood.

    Rows are audited if there is room to be told of it.
    """
    moments[:] = 0.0
    n_components, n_features = factors.means.shape
    tile, scratch, _, _ = divide(workspace, n_features, n_components)
    length = segment_rows(n_components, stop - start)
    lists, known = new_lists(n_components, length, rows), np.zeros(n_components, np.int64)
    bounds = np.empty((n_components, length), np.float32)
    limits, guesses = np.empty(length, np.float32), np.empty(length, np.float32)
    weights, likelihoods = np.empty(length), np.empty(length)
    log_likelihood = 0.0
    for first in range(start, stop, length):
        segment = rows[first : lesser(first + length, stop)]
        end = whole(len(segment), TILE)
        write_bounds(
            segment, row_weights[first : first + length], factors, workspace, weights, bounds
        )
        lists.counts[:] = 0
        for r in range(end):
            limits[r] = -np.inf if weights[r] > 0.0 else np.inf
        for _ in range(GUESSES):
            known[:] = lists.counts
            most_likely(bounds, end, guesses)
            list_guesses(guesses, weights[:end], limits, bounds, lists)
            write_listed_densities(segment, lists, known, factors, tile, scratch)
            limit_rows(lists, known, bounds, margin, limits)
        known[:] = lists.counts
        list_possible(bounds, limits[:end], lists)
        write_listed_densities(segment, lists, known, factors, tile, scratch)
        log_likelihood += normalise_lists(lists, weights[:end], margin, likelihoods)
        add_listed_moments(segment, lists, factors, tile, scratch, moments)
        if told.size:
            audit(segment, weights, first, likelihoods, factors, tile, scratch, told)
    return log_likelihood


@kernel
def bounded_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop]; return their log-likelihood."""
    end = moments.size
    return sum_bounded(
        rows, row_weights, start, stop, factors, FAR, workspace, moments, moments[end:]
    )


@kernel
def truncated_slice(rows, row_weights, start, stop, factors, workspace, sums):
    """Do the same for what lies within the factors' margin of a row's best.

    Two more sums say what audited rows have lost, and what they weigh.
    """
    sums[:] = 0.0
    end = sums.size - 2
    return sum_bounded(
        rows,
        row_weights,
        start,
        stop,
        factors,
        factors.margin,
        workspace,
        sums[:end],
        sums[end:],
    )


KERNELS[Gathered] = gathered_slice
KERNELS[BoundFactors] = bounded_slice
KERNELS[TruncatedFactors] = truncated_slice


@kernel
def write_probe(rows, probe, factors, workspace, out):
    """Write the log densities of a few rows into out (K, PROBE)."""
    n_components, n_features = factors.means.shape
    tile, scratch, densities, _ = divide(workspace, n_features, n_components)
    columns = gather_tile(rows, probe, probe.size, tile)
    group = narrow(scratch)
    for k in range(n_components):
        log_densities_of(k, tile, columns, factors, group, densities[k])
        out[k, :] = densities[k, : probe.size]


def choose(rows, factors, margin=FAR):
    """Choose the way of a pass over some rows: return the factors, or others that leave pairs out.

    It follows from rows and factors alone, so the sums have the same bits for any thread count. All
    ways give the same sums to rounding, but for what a smaller margin leaves out.
    """
    if not isinstance(factors, Factors | full_2d.Factors) or len(rows) < FEWEST_ROWS:
        return factors
    n_components, n_features = factors.means.shape
    # Gathering costs as much as some 12 features: timed for d = 4 to 128 and live fractions of 0.03
    # to 0.9, where each way began to gain.
    worth = min(n_features / 80, 0.4)
    if 1 / n_components > worth:
        return factors
    probe = spread(PROBE, rows)
    densities = np.empty((n_components, PROBE), rows.dtype)
    write_probe(unwritable(rows), probe, factors, new_workspaces(1, rows, factors)[0], densities)
    highest = densities.max(axis=0)
    live = np.mean(densities >= highest - FAR)
    if not live < worth and not margin < FAR:
        return factors
    # by count, in float32's multiply-adds for a pair: the density, twice that in float64
    whole_density = n_features * n_features / 2 * rows.itemsize / 4
    least, best = BOUNDED * whole_density, Gathered(*factors) if live < worth else factors
    live = np.mean(densities >= highest - margin)
    for rank in (whole(n_features // 4, 4), whole(n_features // 2, 4)):
        if rank * n_features + live * GATHERING * whole_density < least:
            bounded = bound_factors(factors, rows[spread(SEEN, rows)], rank)
            possible = possible_fraction(rows[probe], densities, bounded, margin)
            cost = rank * n_features + possible * GATHERING * whole_density
            if cost < least:
                least = cost
                best = bounded if margin == FAR else TruncatedFactors(*bounded, float(margin))
    return best


def spread(count, rows):
    """Return the numbers of some rows, from the first to the last."""
    return np.linspace(0, len(rows) - 1, count).astype(np.int32)


def possible_fraction(rows, densities, factors, margin):
    """Return the fraction of pairs that bounds let through, of rows whose densities are known."""
    bounds = upper_bounds(rows, factors)
    guessed = densities[bounds.argmax(axis=0), np.arange(len(rows))]
    return np.mean(~(bounds < guessed - margin))
