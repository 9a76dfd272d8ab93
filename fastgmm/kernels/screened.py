"""A pass over many components: all of them roughly, by a screen, and exactly those a row keeps.

Truncated EM: the responsibilities of the rest are taken for zero (Salwig et al. 2025,
arXiv 2501.12299, keep the best few of each row from pass to pass; here nothing is kept between
passes, since a screen finds them anew).

Pairs of row and component are listed by component for many tiles at a time, a segment. Registers
then hold neighbouring features of one row, so that a list of any length fills them.

Every 256th row is computed with all components, too. What that says of the log-likelihood left out
is an estimate without bias, for a few hundredths of the time.
"""

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from fastgmm.kernels.audit import audited
from fastgmm.kernels.by_address import call_for_nothing, entry_of
from fastgmm.kernels.jit import inline, kernel, parallel, subroutine
from fastgmm.kernels.screen import (
    BLIND,
    find_candidates,
    new_candidates,
    write_centred,
    write_limits,
)
from fastgmm.kernels.simd.vecmath import exp, log
from fastgmm.kernels.simd.vectors import (
    add_totals,
    fma,
    load,
    load_chosen,
    loading,
    splat,
    store,
    total,
    zeros,
)
from fastgmm.kernels.tiles import (
    TILE,
    greater,
    lesser,
    load_tile,
    load_weights,
    new_tile,
    unwritable,
    whole,
)
from fastgmm.kernels.work_queue import new_queue, take_next

FEATURES = 4  # registers of moments that are summed together
load_features = loading(FEATURES)
SEGMENT_NUMBERS = 1 << 18  # of a segment's rows in float64: 2 MB
LONGEST_SEGMENT = 3072  # rows
MORE_PAIRS = 1 << 17  # that a segment lists beyond those of one tile
LOSS, AUDITED, KEPT, LOG_LIKELIHOOD, TOLD = 0, 1, 2, 3, 4  # what a slice says besides its sums


class Scores(NamedTuple):
    """What is written of every row where there is room."""

    log_likelihoods: np.ndarray  # (n,) or (0,)
    labels: np.ndarray  # (n,) or (0,) int64
    responsibilities: np.ndarray  # (n, K) or (0, 0), zeros beforehand


class Pairs(NamedTuple):
    """Rows of a segment and components that they keep, and the same listed by component."""

    rows: np.ndarray  # (n,) int32, numbers within the segment
    components: np.ndarray  # (n,) int32
    counts: np.ndarray  # (K,)
    starts: np.ndarray  # (K,) where the lists of components begin, at whole fours
    listed: np.ndarray  # (n,) int32 rows by component; a list's last is repeated to its end
    values: np.ndarray  # (n,) of each a log density, later a responsibility


class Segment(NamedTuple):
    """Rows that are listed together, with what is known of each."""

    rows: np.ndarray  # (n, W) float64, zeros beyond the features
    weights: np.ndarray  # (n,)
    highest: np.ndarray  # (n,) log density
    mass: np.ndarray  # (n,) sum of densities, relative to that
    log_likelihoods: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)


def n_sums(screen):
    """Return the number of sums: first and second moments about the means, and weights."""
    n_components, width = screen.means.shape
    return n_components * (2 * width + 1)


def unpack(sums, screen, n_features):
    """Return weight (K,), first and second moments about the means (K, d)."""
    n_components, width = screen.means.shape
    moments = sums[:-n_components].reshape(n_components, 2, width)
    return sums[-n_components:], moments[:, 0, :n_features], moments[:, 1, :n_features]


@subroutine
def new_pairs(n_components):
    """Make empty lists."""
    size = TILE * n_components + MORE_PAIRS + 1
    return Pairs(
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.zeros(n_components, np.int64),
        np.zeros(n_components, np.int64),
        np.empty(size + 4 * n_components + 8, np.int32),
        np.empty(size + 4 * n_components + 8, np.float64),
    )


@subroutine
def new_segment(n_rows, width):
    """Make room for a segment, whole tiles."""
    return Segment(
        np.zeros((n_rows, width), np.float64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.int64),
    )


@subroutine
def keep(candidates, count, highest, limits, weights, first, screen, pairs, n_pairs):
    """List the pairs of a tile that are kept, in all; return how many are listed now."""
    rows, components, counts, _, _, _ = (
        pairs  # read in a loop, each would be counted as a reference
    )
    tile_rows, tile_components, densities, _ = candidates
    for n in range(count):
        r, k = tile_rows[n], tile_components[n]
        # written before it is known to be kept: half are, and no processor foresees which
        rows[n_pairs], components[n_pairs] = first + r, k
        n_pairs += int((densities[n] >= limits[r]) & (k < counts.size))
    for r in range(TILE):
        if weights[r] > 0.0:
            if highest[r] < BLIND:
                for k in range(counts.size):
                    rows[n_pairs], components[n_pairs] = first + r, k
                    n_pairs += 1
            else:
                for k in screen.exact:
                    rows[n_pairs], components[n_pairs] = first + r, k
                    n_pairs += 1
    return n_pairs


@subroutine
def list_by_component(pairs, n_pairs):
    """Sort pairs by component, each list in whole fours; return how long all are."""
    rows, components, counts, starts, listed, _ = pairs
    counts[:] = 0
    for n in range(n_pairs):
        counts[components[n]] += 1
    end = 0
    for k in range(counts.size):
        starts[k] = end
        end += whole(counts[k], 4)
    at = starts.copy()
    for n in range(n_pairs):
        k = components[n]
        listed[at[k]] = rows[n]
        at[k] += 1
    for k in range(counts.size):
        for n in range(at[k], starts[k] + whole(counts[k], 4)):
            listed[n] = listed[at[k] - 1]
    return end


@inline
def add_squares(rows, listed, n, screen, k, out):
    """Add the squared distances of four listed rows to component k, in its deviations."""
    squares = zeros(rows, 4)
    for j in range(0, rows.shape[1], squares.width):
        mean, scale = load(screen.means, (k, j)), load(screen.inverse_deviations, (k, j))
        z = (load_chosen(rows, listed, n, j, 4) - mean) * scale
        squares = fma(z, z, squares)
    add_totals(out, (n,), squares)


@subroutine
def write_densities(segment, pairs, end, screen):
    """Write the log densities of listed pairs, -inf beyond the end of a list."""
    _, _, counts, starts, listed, values = pairs
    rows, log_scale = segment.rows, screen.log_scale
    values[: end + 8] = 0.0
    for k in range(counts.size):
        first, count = starts[k], counts[k]
        for n in range(first, first + count, 4):
            add_squares(rows, listed, n, screen, k, values)
        for n in range(first, first + count):
            values[n] = log_scale[k] - 0.5 * values[n]
        for n in range(first + count, first + whole(count, 4)):
            values[n] = -np.inf


@subroutine
def normalise(segment, n_rows, pairs, end):
    """Turn log densities into weighted responsibilities, and find what is known of each row."""
    _, _, counts, starts, listed, values = pairs
    _, weights, highest, mass, log_likelihoods, labels = segment
    highest[:n_rows], mass[:n_rows], labels[:n_rows] = -np.inf, 0.0, 0
    for k in range(counts.size):
        for n in range(starts[k], starts[k] + counts[k]):
            row = listed[n]
            if highest[row] < values[n]:
                highest[row], labels[row] = values[n], k
    for n in range(end):
        best = highest[listed[n]]
        values[n] -= best if best > -np.inf else 0.0
    for n in range(0, end, splat(mass, 0.0).width):
        store(values, (n,), exp(load(values, (n,))))
    for n in range(end):
        mass[listed[n]] += values[n]
    for r in range(0, n_rows, splat(mass, 0.0).width):
        store(log_likelihoods, (r,), load(highest, (r,)) + log(load(mass, (r,))))
    for r in range(n_rows):
        if mass[r] == 0.0:
            log_likelihoods[r] = -np.inf
        mass[r] = weights[r] / mass[r]
    for n in range(end):
        values[n] *= mass[listed[n]]


@inline
def add_features(rows, listed, values, start, stop, means, k, j, sums):
    """Add the moments of listed pairs for a few registers of features."""
    first = second = zeros(sums, FEATURES)
    mean = load_features(means, (k, j))
    for n in range(start, stop):
        gap = load_features(rows, (np.int64(listed[n]), j)) - mean
        part = gap * values[n]
        first, second = first + part, fma(part, gap, second)
    store(sums, (k, 0, j), load_features(sums, (k, 0, j)) + first)
    store(sums, (k, 1, j), load_features(sums, (k, 1, j)) + second)


@inline
def add_register(rows, listed, values, start, stop, means, k, j, sums):
    """Do the same for one register of features."""
    first = second = splat(sums, 0.0)
    mean = load(means, (k, j))
    for n in range(start, stop):
        gap = load(rows, (np.int64(listed[n]), j)) - mean
        part = gap * values[n]
        first, second = first + part, fma(part, gap, second)
    store(sums, (k, 0, j), load(sums, (k, 0, j)) + first)
    store(sums, (k, 1, j), load(sums, (k, 1, j)) + second)


@subroutine
def add_moments(segment, pairs, screen, sums, weights):
    """Add the moments of all lists to sums (K, 2, W), and responsibilities to weights (K,)."""
    _, _, counts, starts, listed, values = pairs
    rows, means, width = segment.rows, screen.means, splat(sums, 0.0).width
    for k in range(counts.size):
        start, stop = starts[k], starts[k] + counts[k]
        if start < stop:
            for n in range(start, stop):
                weights[k] += values[n]
            j = 0
            while j + FEATURES * width <= sums.shape[2]:
                add_features(rows, listed, values, start, stop, means, k, j, sums)
                j += FEATURES * width
            while j < sums.shape[2]:
                add_register(rows, listed, values, start, stop, means, k, j, sums)
                j += width


@subroutine
def write_scores(segment, n_rows, pairs, first, scores):
    """Write what there is room for of the rows of a segment; 1 / K where all densities are zero."""
    _, _, counts, starts, listed, values = pairs
    _, _, _, _, log_likelihoods, labels = segment
    out, label, responsibilities = scores
    n_components = counts.size
    for r in range(lesser(n_rows, out.size - first)):
        out[first + r] = log_likelihoods[r]
    for r in range(lesser(n_rows, label.size - first)):
        label[first + r] = labels[r]
    if responsibilities.size:
        for k in range(n_components):
            for n in range(starts[k], starts[k] + counts[k]):
                row = listed[n]
                is_seen = log_likelihoods[row] > -np.inf
                responsibilities[first + row, k] = values[n] if is_seen else 1.0 / n_components


@subroutine
def audit(segment, n_rows, first, screen, told):
    """Add the log-likelihood that rows to be audited have lost, and their weights.

    ``first`` is the place of the segment in the call.
    """
    n_components = screen.log_scale.size
    chosen, count = audited(n_rows, first, segment.weights)
    if count == 0:
        return
    densities = np.full((count, whole(n_components, 8)), -np.inf)
    squares = np.empty(whole(count, 4) + 8)
    for k in range(n_components):
        squares[:] = 0.0
        for n in range(0, count, 4):
            add_squares(segment.rows, chosen, n, screen, k, squares)
        for n in range(count):
            densities[n, k] = screen.log_scale[k] - 0.5 * squares[n]
    for n in range(count):
        highest, mass = densities[n].max(), 0.0
        for k in range(0, n_components, splat(densities, 0.0).width):
            mass += total(exp(load(densities, (n, k)) - highest))
        row = chosen[n]
        lost = highest + np.log(mass) - segment.log_likelihoods[row]
        told[LOSS] += segment.weights[row] * max(lost, 0.0)
        told[AUDITED] += segment.weights[row]


@subroutine
def finish(segment, n_rows, first, pairs, n_pairs, screen, sums, told, scores):
    """Compute the pairs of a segment, whose place in the call is ``first``.

    Where neither sums nor scores are asked for, they are only counted.
    """
    told[KEPT] += n_pairs
    asked = scores.log_likelihoods.size + scores.labels.size + scores.responsibilities.size
    if sums.size + asked == 0:
        return
    n_components, width = screen.means.shape
    end = list_by_component(pairs, n_pairs)
    write_densities(segment, pairs, end, screen)
    normalise(segment, n_rows, pairs, end)
    write_scores(segment, n_rows, pairs, first, scores)
    if sums.size:
        size = 2 * width * n_components
        moments = sums[:size].reshape(n_components, 2, width)
        add_moments(segment, pairs, screen, moments, sums[size:])
        audit(segment, n_rows, first, screen, told)
    for r in range(n_rows):
        if segment.weights[r] > 0.0:
            told[LOG_LIKELIHOOD] += segment.weights[r] * segment.log_likelihoods[r]


@subroutine
def load_rows_of(rows, first, live, at, out):
    """Copy rows[first : first + live] to out[at], and so on, in float64."""
    for i in range(live):
        for j in range(rows.shape[1]):
            out[at + i, j] = rows[first + i, j]


@kernel
def screened_slice(rows, row_weights, start, stop, screen, sums, told, scores):
    """Write the sums of rows[start:stop], or their scores, and what is told of them."""
    sums[:] = 0.0
    told[:] = 0.0
    n_components, width = screen.means.shape
    longest = lesser(greater(SEGMENT_NUMBERS // width // TILE, 1) * TILE, LONGEST_SEGMENT)
    segment = new_segment(lesser(longest, whole(stop - start, TILE)), width)
    pairs, candidates = new_pairs(n_components), new_candidates(n_components)
    tile, highest = new_tile(rows.shape[1], rows), np.empty(TILE, np.float32)
    centred, limits = new_tile(rows.shape[1], highest), np.empty(TILE, np.float32)
    first, n_rows, n_pairs = start, 0, 0
    for begin in range(start, stop, TILE):
        live = lesser(TILE, stop - begin)
        weights = segment.weights[n_rows : n_rows + TILE]
        load_weights(row_weights, begin, live, weights)
        load_rows_of(rows, begin, live, n_rows, segment.rows)
        load_tile(rows, begin, live, tile)
        write_centred(tile, screen, centred)
        for r in range(TILE):
            highest[r] = -np.inf if weights[r] > 0.0 else np.inf
        count = find_candidates(centred, screen, highest, candidates)
        write_limits(highest, screen, limits)
        n_pairs = keep(candidates, count, highest, limits, weights, n_rows, screen, pairs, n_pairs)
        n_rows += TILE
        is_full = n_rows == len(segment.rows) or n_pairs > MORE_PAIRS
        if is_full or begin + TILE >= stop:
            finish(segment, n_rows, first, pairs, n_pairs, screen, sums, told, scores)
            first, n_rows, n_pairs = first + n_rows, 0, 0


@parallel
def screened_slices(
    entry, queue, n_threads, rows, row_weights, screen, slice_rows, sums, told, scores
):
    """Let every thread take slice after slice."""
    address, mark = entry
    for thread in prange(n_threads):
        i = take_next(queue, thread, len(told))
        while i < len(told):
            start = i * slice_rows
            stop = lesser(start + slice_rows, rows.shape[0])
            arguments = rows, row_weights, start, stop, screen, sums[i], told[i], scores
            call_for_nothing(address, mark, arguments)
            i = take_next(queue, thread, len(told))


def screened(rows, row_weights, screen, slice_rows, sums, told, scores):
    """Fill sums (slices, size) or (slices, 0), told (slices, TOLD) and scores, slice by slice."""
    rows, row_weights = unwritable(rows), unwritable(row_weights)
    entry = entry_of(screened_slice, rows, row_weights, 0, 0, screen, sums[0], told[0], scores)
    arguments = rows, row_weights, screen, slice_rows, sums, told, scores
    screened_slices(entry, new_queue(), get_num_threads(), *arguments)


def screened_serial(rows, row_weights, screen, slice_rows, sums, told, scores):
    """Do the same on the calling thread."""
    rows, row_weights = unwritable(rows), unwritable(row_weights)
    for i in range(len(told)):
        start = i * slice_rows
        stop = min(start + slice_rows, rows.shape[0])
        screened_slice(rows, row_weights, start, stop, screen, sums[i], told[i], scores)
