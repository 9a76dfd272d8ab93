"""Tied and full structure where each row may lack other values: NaN is a value that is not there.

A density needs the Cholesky factor of the observed part of every covariance. It is made once for
neighbouring rows that lack the same values, so rows are to be sorted by what they lack. Missing
values are completed by their regression on the observed ones, and add what that leaves of their
covariance (Ghahramani and Jordan 1994, Supervised learning from incomplete data via an EM
approach). All in float64, value by value: where many rows lack the same, `fastgmm.passes` takes the
kernels of complete rows instead.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import kernel, subroutine
from fastgmm.kernels.tiles import FAR, TILE

LOG_TWO_PI = np.log(2 * np.pi)


class Factors(NamedTuple):
    """Parameters as they are, in float64."""

    log_scale: np.ndarray  # (K,) log weight
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d), or (1, d, d) that all components share


def factors(log_weights, means, covariances):
    """Make Factors of log weights (K,), means (K, d) and covariances (K, d, d) or (1, d, d)."""
    return Factors(*map(np.ascontiguousarray, (log_weights, means, covariances)))


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
def factor(covariance, observed, missing, lower):
    """Write a factor of the observed part of a covariance, and return the logs of its pivots' sum.

    Below its o rows of ``lower`` stand those of the missing features, L^-1 S_om transposed. NaN
    where that part is not positive definite, which the log-likelihood then shows.
    """
    log_pivots, n_observed = 0.0, len(observed)
    for i in range(n_observed + len(missing)):
        feature = observed[i] if i < n_observed else missing[i - n_observed]
        for j in range(min(i + 1, n_observed)):
            left = covariance[feature, observed[j]]
            for p in range(j):
                left -= lower[i, p] * lower[j, p]
            if i == j:
                lower[i, i] = np.sqrt(left) if left > 0.0 else np.nan
                log_pivots += np.log(lower[i, i])
            else:
                lower[i, j] = left / lower[j, j]
    return log_pivots


@subroutine
def solve(row, mean, observed, lower, whitened):
    """Write L^-1 (x - mean) of what is observed, and return its squared length."""
    square = 0.0
    for i in range(len(observed)):
        left = row[observed[i]] - mean[observed[i]]
        for p in range(i):
            left -= lower[i, p] * whitened[p]
        whitened[i] = left / lower[i, i]
        square += whitened[i] * whitened[i]
    return square


@subroutine
def complete(row, mean, observed, missing, lower, whitened, out):
    """Write the row less the mean; a missing value is the regression on what is observed."""
    for i in range(len(observed)):
        out[observed[i]] = row[observed[i]] - mean[observed[i]]
    for i in range(len(missing)):
        expected = 0.0
        for p in range(len(observed)):
            expected += lower[len(observed) + i, p] * whitened[p]
        out[missing[i]] = expected


@subroutine
def add_left(covariance, weight, observed, missing, lower, out):
    """Add what the regression leaves of the covariance of missing values, times a weight."""
    n_observed = len(observed)
    for i in range(len(missing)):
        for j in range(i + 1):
            left = covariance[missing[i], missing[j]]
            for p in range(n_observed):
                left -= lower[n_observed + i, p] * lower[n_observed + j, p]
            # features ascend: the lower triangle
            out[missing[i], missing[j]] += weight * left


@subroutine
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) of what is observed into out[k, r], for every row of the tile."""
    n_components, n_features = factors.means.shape
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower, whitened = np.empty((n_features, n_features)), np.empty(n_features)
    rows = tile[:n_features].T.copy()
    for k in range(n_components):
        covariance = factors.covariances[k % len(factors.covariances)]
        n_observed, log_pivots = 0, 0.0
        for r in range(TILE):
            if r == 0 or not lacks_the_same(rows[r], rows[r - 1]):
                n_observed = n_features - split(rows[r], observed, missing)
                log_pivots = factor(covariance, observed[:n_observed], missing[:0], lower)
            square = solve(rows[r], factors.means[k], observed[:n_observed], lower, whitened)
            out[k, r] = factors.log_scale[k] - log_pivots - 0.5 * (square + n_observed * LOG_TWO_PI)


@kernel
def completed_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the expected moments of rows[start:stop], one by one; return their log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.means.shape
    size = 1 + n_features + n_features * n_features
    shared, n_covariances = len(factors.covariances) == 1, len(factors.covariances)
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower = np.empty((n_covariances, n_features, n_features))
    log_pivots, mass = np.empty(n_covariances), np.empty(n_components)
    whitened, densities = np.empty((n_components, n_features)), np.empty(n_components)
    apart, group = np.empty(n_features), np.zeros(n_components)
    log_likelihood, n_missing = 0.0, 0
    for i in range(start, stop):
        row, weight = rows[i], 1.0
        if row_weights.size:
            weight = np.float64(row_weights[i])
        if i == start or not lacks_the_same(row, rows[i - 1]):
            add_group(factors, observed, missing[:n_missing], lower, group, moments)
            n_missing = split(row, observed, missing)
            for k in range(n_covariances):
                log_pivots[k] = factor(
                    factors.covariances[k],
                    observed[: n_features - n_missing],
                    missing[:n_missing],
                    lower[k],
                )
        if weight == 0.0:
            continue
        seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
        highest = -np.inf
        for k in range(n_components):
            own = 0 if shared else k
            square = solve(row, factors.means[k], seen, lower[own], whitened[k])
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
            own = 0 if shared else k
            complete(row, factors.means[k], seen, unseen, lower[own], whitened[k], apart)
            out = moments[k * size : (k + 1) * size]
            out[0] += share
            group[k] += share
            for a in range(n_features):
                out[1 + a] += share * apart[a]
                its = 1 + n_features + a * n_features
                for b in range(a + 1):
                    out[its + b] += share * apart[a] * apart[b]
    add_group(factors, observed, missing[:n_missing], lower, group, moments)
    return log_likelihood


@subroutine
def add_group(factors, observed, missing, lower, group, moments):
    """Add what regression leaves of neighbouring rows that lack the same, and begin anew."""
    n_components, n_features = factors.means.shape
    size = 1 + n_features + n_features * n_features
    seen = observed[: n_features - len(missing)]
    for k in range(n_components):
        if group[k] > 0.0:
            own = k % len(factors.covariances)
            second = moments[k * size + 1 + n_features : (k + 1) * size]
            out = second.reshape(n_features, n_features)
            add_left(factors.covariances[own], group[k], seen, missing, lower[own], out)
        group[k] = 0.0


@kernel
def given(rows, shifts, labels, factors):
    """Return rows with their missing values regressed on the observed ones, by a component each.

    Both are taken less a shift, which is added again: what is observed stays as it is. Neighbours
    of the same label that lack the same values share a factor.
    """
    n_features = rows.shape[1]
    observed, missing = np.empty(n_features, np.int64), np.empty(n_features, np.int64)
    lower, whitened = np.empty((n_features, n_features)), np.empty(n_features)
    out, apart, n_missing = rows.copy(), np.empty(n_features), 0
    for i in range(len(rows)):
        k = labels[i]
        if i == 0 or labels[i - 1] != k or not lacks_the_same(rows[i], rows[i - 1]):
            n_missing = split(rows[i], observed, missing)
            seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
            factor(factors.covariances[k], seen, unseen, lower)
        seen, unseen = observed[: n_features - n_missing], missing[:n_missing]
        solve(rows[i] - shifts[i], factors.means[k], seen, lower, whitened)
        complete(rows[i] - shifts[i], factors.means[k], seen, unseen, lower, whitened, apart)
        for j in unseen:
            out[i, j] = factors.means[k, j] + apart[j] + shifts[i, j]
    return out


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.means.shape
    # value by value, a Cholesky factor for each
    return 4.0 * n_components * (n_features + 2) ** 2 * (1 + n_features / 6)


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
