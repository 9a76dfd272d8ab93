"""Tied and full structure where each row may lack other values: NaN is a value that is not there.

Missing values are completed by their regression on the observed ones, and add what that leaves of
their covariance (Ghahramani and Jordan 1994, Supervised learning from incomplete data via an EM
approach). A density needs a Cholesky factor per row and component: of the observed part of the
covariance, or of the missing part of its inverse, where that is less work. It is made once for
neighbouring rows that lack the same values, so rows are to be sorted by what they lack. All in
float64: where many rows lack the same, `fastgmm.passes` takes the kernels of complete rows instead.

With P the precision, b = P_mo (x - mean)_o and E = -P_mm^-1 b what is expected of the missing
values less their mean, the squared distance of the observed ones is that of the completed row,
det S_oo = det S det P_mm, and P_mm^-1 is what regression leaves.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, kernel, subroutine
from fastgmm.kernels.tiles import FAR, TILE
from fastgmm.parallel.blas import one_blas_thread

LOG_TWO_PI = np.log(2 * np.pi)
# Features from which on the precision is used: it costs squared features per row, a factor of the
# observed part their cube per pattern, of which rows of few features share one
WIDE = 16


class Factors(NamedTuple):
    """Parameters as they are, in float64; or one matrix each that all components share."""

    log_scale: np.ndarray  # (K,) log weight
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d) or (1, d, d)
    precisions: np.ndarray  # the same, inverses
    roots: np.ndarray  # the same: upper triangular R, whose R R' is the precision
    log_pivots: np.ndarray  # (K,) or (1,) half the logarithm of a covariance's determinant


@one_blas_thread()
def factors(log_weights, means, covariances, roots):
    """Make Factors of log weights (K,), means (K, d), covariances and roots of their inverses."""
    precisions = roots @ roots.swapaxes(1, 2)
    log_pivots = -np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    return Factors(
        *map(np.ascontiguousarray, (log_weights, means, covariances, precisions, roots, log_pivots))
    )


@subroutine
def split(row, observed, missing):
    """Write the numbers of the values that are there, and of those that are not; count these."""
    n_observed = n_missing = 0
    for j in range(len(row)):
        if row[j] == row[j]:
            observed[n_observed] = j
            n_observed += 1
        else:
            missing[n_missing] = j
            n_missing += 1
    return n_missing


@subroutine
def lacks_the_same(row, other):
    """Tell whether two rows lack the same values."""
    same = True
    for j in range(len(row)):
        same = same and (row[j] == row[j]) == (other[j] == other[j])
    return same


@subroutine
def cholesky(matrix, chosen, others, lower):
    """Write a factor of the chosen part of a matrix, and return the sum of its pivots' logarithms.

    Below it in ``lower`` stand rows of the other features, L^-1 S_co transposed. NaN where that
    part is not positive definite, which the log-likelihood then shows.
    """
    log_pivots, n_chosen = 0.0, len(chosen)
    for i in range(n_chosen + len(others)):
        feature = chosen[i] if i < n_chosen else others[i - n_chosen]
        for j in range(min(i + 1, n_chosen)):
            left = matrix[feature, chosen[j]]
            for p in range(j):
                left -= lower[i, p] * lower[j, p]
            if i == j:
                lower[i, i] = np.sqrt(left) if left > 0.0 else np.nan
                log_pivots += np.log(lower[i, i])
            else:
                lower[i, j] = left / lower[j, j]
    return log_pivots


@inline
def product(matrices, own, i, vector):
    """Return a row of a matrix times a vector, in four sums that do not wait for one another."""
    first = second = third = fourth = 0.0
    whole = len(vector) // 4 * 4
    for j in range(0, whole, 4):
        first += matrices[own, i, j] * vector[j]
        second += matrices[own, i, j + 1] * vector[j + 1]
        third += matrices[own, i, j + 2] * vector[j + 2]
        fourth += matrices[own, i, j + 3] * vector[j + 3]
    for j in range(whole, len(vector)):
        first += matrices[own, i, j] * vector[j]
    return (first + second) + (third + fourth)


@inline
def has_few_missing(seen, unseen):
    """Tell whether the factor is that of the missing features."""
    return len(seen) + len(unseen) >= WIDE and len(unseen) <= len(seen)


@subroutine
def factor(own, factors, seen, unseen, lower):
    """Write the factor of observed or of missing features, for a matrix by its number.

    Return half the logarithm of the determinant of the observed part of the covariance.
    """
    if not has_few_missing(seen, unseen):
        return cholesky(factors.covariances[own], seen, unseen, lower)
    pivots = cholesky(factors.precisions[own], unseen, unseen[:0], lower)
    return factors.log_pivots[own] + pivots


@inline
def distance(row, mean, own, factors, seen, unseen, lower, left, apart):
    """Return the squared distance of what is observed; the last two are for ``complete``."""
    square = 0.0
    if not has_few_missing(seen, unseen):  # L^-1 (x - mean)
        for i in range(len(seen)):
            value = row[seen[i]] - mean[seen[i]]
            for p in range(i):
                value -= lower[i, p] * left[p]
            left[i] = value / lower[i, i]
            square += left[i] * left[i]
        return square
    for j in seen:
        apart[j] = row[j] - mean[j]
    expect_of_missing(factors.precisions, own, unseen, lower, left, apart)
    left[:] = 0.0
    for i in range(len(apart)):
        for j in range(i, len(apart)):
            left[j] += factors.roots[own, i, j] * apart[i]
    for each in left:
        square += each * each
    return square


@inline
def complete(row, mean, seen, unseen, lower, left, apart):
    """Write the row less the mean, from what ``distance`` has left: missing values are expected."""
    if has_few_missing(seen, unseen):
        return
    for j in seen:
        apart[j] = row[j] - mean[j]
    for i in range(len(unseen)):
        expected = 0.0
        for p in range(len(seen)):
            expected += lower[len(seen) + i, p] * left[p]
        apart[unseen[i]] = expected


@subroutine
def expect_of_missing(precisions, own, unseen, lower, left, apart):
    """Write -P_mm^-1 P_mo times what the observed values are apart."""
    for i in unseen:
        apart[i] = 0.0
    for i in range(len(unseen)):
        left[i] = product(precisions, own, unseen[i], apart)
        for p in range(i):
            left[i] -= lower[i, p] * left[p]
        left[i] /= lower[i, i]
    for i in range(len(unseen) - 1, -1, -1):
        left[i] /= lower[i, i]
        for p in range(i):
            left[p] -= lower[i, p] * left[i]
    for i in range(len(unseen)):
        apart[unseen[i]] = -left[i]


@subroutine
def add_left(own, factors, weight, seen, unseen, lower, scratch, out):
    """Add what the regression leaves of the covariance of missing values, times a weight.

    Features ascend: into the lower triangle.
    """
    n_seen, n_unseen = len(seen), len(unseen)
    if not has_few_missing(seen, unseen):
        for i in range(n_unseen):
            for j in range(i + 1):
                left = factors.covariances[own, unseen[i], unseen[j]]
                for p in range(n_seen):
                    left -= lower[n_seen + i, p] * lower[n_seen + j, p]
                out[unseen[i], unseen[j]] += weight * left
        return
    for j in range(n_unseen):  # column by column of the inverse of L L'
        for i in range(j, n_unseen):
            left = 1.0 if i == j else 0.0
            for p in range(j, i):
                left -= lower[i, p] * scratch[p]
            scratch[i] = left / lower[i, i]
        for i in range(n_unseen - 1, j - 1, -1):
            scratch[i] /= lower[i, i]
            for p in range(j, i):
                scratch[p] -= lower[i, p] * scratch[i]
            out[unseen[i], unseen[j]] += weight * scratch[i]


@subroutine
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) of what is observed into out[k, r], for every row of the tile."""
    n_components, n_features = factors.means.shape
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower, room = np.empty((n_features, n_features)), np.empty(n_features)
    apart = np.empty(n_features)
    rows = tile[:n_features].T.copy()
    for k in range(n_components):
        own, n_missing, log_pivots = k % len(factors.covariances), 0, 0.0
        for r in range(TILE):
            is_new = r == 0 or not lacks_the_same(rows[r], rows[r - 1])
            if is_new:
                n_missing = split(rows[r], observed, missing)
            seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
            if is_new:
                log_pivots = factor(own, factors, seen, unseen, lower)
            mean = factors.means[k]
            square = distance(rows[r], mean, own, factors, seen, unseen, lower, room, apart)
            out[k, r] = factors.log_scale[k] - log_pivots - 0.5 * (square + len(seen) * LOG_TWO_PI)


@kernel
def completed_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the expected moments of rows[start:stop], one by one; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.means.shape
    size = 1 + n_features + n_features * n_features
    n_matrices = len(factors.covariances)
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower = np.empty((n_matrices, n_features, n_features))
    log_pivots, mass = np.empty(n_matrices), np.empty(n_components)
    apart, densities = np.empty((n_components, n_features)), np.empty(n_components)
    room, group = np.empty((n_components, n_features)), np.zeros(n_components)
    log_likelihood, n_missing = 0.0, 0
    for i in range(start, stop):
        row, weight = rows[i], 1.0
        if row_weights.size:
            weight = np.float64(row_weights[i])
        is_new = i == start or not lacks_the_same(row, rows[i - 1])
        if is_new:
            add_group(factors, observed, missing[:n_missing], lower, group, room[0], moments)
            n_missing = split(row, observed, missing)
        seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
        if is_new:
            for k in range(n_matrices):
                log_pivots[k] = factor(k, factors, seen, unseen, lower[k])
        if weight == 0.0:
            continue
        highest = -np.inf
        for k in range(n_components):
            own, mean = k % n_matrices, factors.means[k]
            square = distance(row, mean, own, factors, seen, unseen, lower[own], room[k], apart[k])
            densities[k] = (
                factors.log_scale[k] - log_pivots[own] - 0.5 * (square + len(seen) * LOG_TWO_PI)
            )
            if not densities[k] <= highest:  # NaN is kept, to be seen
                highest = densities[k]
        total = 0.0
        for k in range(n_components):
            gap = densities[k] - highest
            mass[k] = 0.0 if gap < -FAR else np.exp(gap)
            total += mass[k]
        log_likelihood += weight * (highest + np.log(total))
        for k in range(n_components):
            if mass[k] == 0.0:
                continue
            share = weight * mass[k] / total
            group[k] += share
            its_lower = lower[k % n_matrices]
            complete(row, factors.means[k], seen, unseen, its_lower, room[k], apart[k])
            add_row(share, apart[k], moments[k * size : (k + 1) * size])
    add_group(factors, observed, missing[:n_missing], lower, group, room[0], moments)
    return log_likelihood


@inline
def add_row(share, apart, out):
    """Add the moments of a completed row: its weight, and those of how far it is from the mean."""
    n_features = len(apart)
    out[0] += share
    for a in range(n_features):
        weighted = share * apart[a]
        out[1 + a] += weighted
        its = 1 + n_features + a * n_features
        for b in range(a + 1):
            out[its + b] += weighted * apart[b]


@subroutine
def add_group(factors, observed, missing, lower, group, room, moments):
    """Add what regression leaves of neighbouring rows that lack the same, and begin anew."""
    n_components, n_features = factors.means.shape
    size = 1 + n_features + n_features * n_features
    seen = observed[: n_features - len(missing)]
    for k in range(n_components):
        if group[k] > 0.0:
            own = k % len(factors.covariances)
            second = moments[k * size + 1 + n_features : (k + 1) * size]
            out = second.reshape(n_features, n_features)
            add_left(own, factors, group[k], seen, missing, lower[own], room, out)
        group[k] = 0.0


@kernel
def given(rows, shifts, labels, factors):
    """Return rows with their missing values regressed on the observed ones, by a component each.

    Both are taken less a shift, which is added again: what is observed stays as it is. Neighbours
    of the same label that lack the same values share a factor.
    """
    n_features = rows.shape[1]
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower, room = np.empty((n_features, n_features)), np.empty(n_features)
    out, apart, n_missing = rows.copy(), np.empty(n_features), 0
    for i in range(len(rows)):
        k, row = labels[i], rows[i] - shifts[i]
        is_new = i == 0 or labels[i - 1] != k or not lacks_the_same(rows[i], rows[i - 1])
        if is_new:
            n_missing = split(rows[i], observed, missing)
        seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
        if is_new:
            factor(k, factors, seen, unseen, lower)
        distance(row, factors.means[k], k, factors, seen, unseen, lower, room, apart)
        complete(row, factors.means[k], seen, unseen, lower, room, apart)
        for j in unseen:
            out[i, j] = factors.means[k, j] + apart[j] + shifts[i, j]
    return out


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.means.shape
    # distance and moments; and a factor of half of the features at most, value by value
    return n_components * ((n_features + 2) ** 2 + n_features**3 / 12)


def n_moments(factors):
    """Return the number of sums of completed_slice."""
    n_components, n_features = factors.means.shape
    return n_components * (1 + n_features + n_features**2)


def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), second.

    That is (K, d, d), or summed over components that share a covariance, (d, d).
    """
    n_components = len(factors.means)
    sums = moments.reshape(n_components, -1)
    lower = sums[:, 1 + n_features :].reshape(n_components, n_features, n_features)
    second = np.tril(lower) + np.tril(lower, -1).swapaxes(1, 2)
    second = second.sum(axis=0) if len(factors.covariances) == 1 and n_components else second
    return sums[:, 0], sums[:, 1 : 1 + n_features], second


def cancels(moments, factors):
    """Return False: second moments are about the means, so nothing cancels."""
    return False
