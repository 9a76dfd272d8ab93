"""One shape for all components and a volume for each: Newton's steps in the volumes' logarithms.

Features lie side by side in registers: of variances, one line for each component, of matrices, d.
"""

import numpy as np

from fastgmm.kernels.jit import kernel, piece
from fastgmm.kernels.simd.vectors import WIDTH, fma, load, splat, store, total

MOST_ROUNDS = 100
FLAT = 1e-12


def share_shape(covariances, parts, logs, enough):
    """Return covariances of one shape, those of highest likelihood but for little.

    covariances are those of each component's rows, variances (K, 1, d) or matrices (K, d, d), and
    parts (K,) of all rows; logs (K,) of 1 / volume are where to start from, and are overwritten.
    The last step is one that gains no more than enough.
    """
    n_components, n_lines, n_features = covariances.shape
    own = np.zeros((n_components, n_lines, padded(n_features)))
    own[..., :n_features] = covariances
    # made here: a kernel that makes them takes four times as long to compile
    shares, lines = np.empty_like(own), np.zeros((4, *own.shape[1:]))
    few, bend = np.zeros((5, n_components)), np.zeros((n_components, padded(n_components)))
    settle(own, parts, logs, enough, n_features, shares, lines, few, bend)
    return (few[TRACES] / n_features)[:, None, None] * lines[POOLED, :, :n_features]


def padded(count):
    """Return so many numbers in whole registers."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


# What a round is computed in: lines of features, the sum of components, its upper triangular
# factor, what brings it to the identity, and products on the way there
POOLED, FACTOR, WHITENING, HALF = range(4)
# and numbers of components: in the sum, of their traces where this is the identity, Newton's step,
# and what alternating goes on from
SCALES, TRACES, STEP, LOGS, LAST = range(5)


@kernel
def settle(own, parts, logs, enough, n_features, shares, lines, few, bend):
    """Find the logarithms of 1 / volume, and leave the sum of components and their traces."""
    n_components, gain = len(own), 0.0
    value = whiten(own, parts, logs, n_features, shares, lines, few)
    for _ in range(MOST_ROUNDS):
        gain = newton(parts, n_features, shares, few, bend)
        if not gain > enough:
            if not gain <= 0.0:  # a number, or none
                for k in range(n_components):
                    logs[k] -= few[STEP, k]
                whiten(own, parts, logs, n_features, shares, lines, few)
            break
        for k in range(n_components):
            few[LOGS, k], few[LAST, k] = logs[k], few[SCALES, k] * few[TRACES, k]
            logs[k] -= few[STEP, k]
        trial = whiten(own, parts, logs, n_features, shares, lines, few)
        if not trial < value:  # a round of alternating never raises the objective
            for k in range(n_components):
                if parts[k] > 0.0:
                    logs[k] = few[LOGS, k] + np.log(n_features * parts[k] / few[LAST, k])
            trial = whiten(own, parts, logs, n_features, shares, lines, few)
        value = trial


@piece
def whiten(own, parts, logs, n_features, shares, lines, few):
    """Bring components into coordinates in which their scaled sum is the identity.

    Returns the objective.
    """
    n_components, n_lines, width = own.shape
    value = 0.0
    for k in range(n_components):
        if parts[k] > 0.0:
            few[SCALES, k] = parts[k] * np.exp(logs[k])
            value -= n_features * parts[k] * logs[k]
    for i in range(n_lines):
        for j in range(0, width, WIDTH):
            entry = splat(own, 0.0)
            for k in range(n_components):
                entry = fma(load(own, (k, i, j)), few[SCALES, k], entry)
            store(lines, (POOLED, i, j), entry)
    if n_lines == 1:
        for j in range(n_features):
            value += np.log(lines[POOLED, 0, j])
            lines[WHITENING, 0, j] = 1.0 / lines[POOLED, 0, j]
        for k in range(n_components):
            trace = splat(own, 0.0)
            for j in range(0, width, WIDTH):
                share = load(own, (k, 0, j)) * load(lines, (WHITENING, 0, j))
                store(shares, (k, 0, j), share)
                trace = trace + share
            few[TRACES, k] = total(trace)
        return value
    factorise(lines[POOLED], n_features, lines[FACTOR])
    invert(lines[FACTOR], n_features, lines[WHITENING])
    for j in range(n_features):
        value += 2.0 * np.log(lines[FACTOR, j, j])
    for k in range(n_components):
        transform(own[k], lines[WHITENING], lines[HALF], shares[k])
        few[TRACES, k] = 0.0
        for j in range(n_features):
            few[TRACES, k] += shares[k, j, j]
    return value


@piece
def newton(parts, n_features, shares, few, bend):
    """Write Newton's step to where the objective is least, and return what it would gain."""
    n_components, n_lines, width = shares.shape
    for k in range(n_components):
        for p in range(k + 1):
            products = splat(shares, 0.0)
            for i in range(n_lines):
                for j in range(0, width, WIDTH):
                    products = fma(load(shares, (k, i, j)), load(shares, (p, i, j)), products)
            # a common factor changes nothing, nor do others where components' rows share no
            # direction; what is added makes the system regular, and is orthogonal to the gradient
            # or small
            shared = few[SCALES, k] * few[SCALES, p] * total(products)
            bend[p, k] = parts[k] * parts[p] - shared
        trace = few[SCALES, k] * few[TRACES, k]
        bend[k, k] += (1.0 + FLAT) * trace if parts[k] > 0.0 else 1.0
        few[STEP, k] = trace - n_features * parts[k]
    factorise(bend, n_components, bend)
    gain = 0.0
    for k in range(n_components):  # U' y = gradient, |y|² the gain, and U step = y
        for p in range(k):
            few[STEP, k] -= bend[p, k] * few[STEP, p]
        few[STEP, k] /= bend[k, k]
        gain += few[STEP, k] * few[STEP, k]
    for k in range(n_components - 1, -1, -1):
        for p in range(k + 1, n_components):
            few[STEP, k] -= bend[k, p] * few[STEP, p]
        few[STEP, k] /= bend[k, k]
    return gain


@piece
def factorise(matrix, size, upper):
    """Write U with U' U a symmetric matrix, whose upper triangle is read, or what is no number."""
    width = matrix.shape[1]
    for i in range(size):
        for j in range(i // WIDTH * WIDTH, width, WIDTH):
            store(upper, (i, j), load(matrix, (i, j)))
    for i in range(size):
        pivot = np.sqrt(upper[i, i]) if upper[i, i] > 0.0 else np.nan
        begun = i // WIDTH * WIDTH
        for j in range(begun, width, WIDTH):
            store(upper, (i, j), load(upper, (i, j)) * (1.0 / pivot))
        for p in range(i + 1, size):
            for j in range(p // WIDTH * WIDTH, width, WIDTH):
                row = fma(load(upper, (i, j)), -upper[i, p], load(upper, (p, j)))
                store(upper, (p, j), row)


@piece
def invert(upper, size, inverse):
    """Write the inverse of an upper triangular matrix."""
    width = upper.shape[1]
    for i in range(size - 1, -1, -1):
        for j in range(0, width, WIDTH):
            row = splat(upper, 0.0)
            for p in range(i + 1, size):
                row = fma(load(inverse, (p, j)), -upper[i, p], row)
            store(inverse, (i, j), row)
        inverse[i, i] = 1.0
        for j in range(0, width, WIDTH):
            store(inverse, (i, j), load(inverse, (i, j)) * (1.0 / upper[i, i]))


@piece
def transform(matrix, by, half, found):
    """Write by' matrix by, where by is upper triangular."""
    size, width = matrix.shape
    for i in range(size):
        for j in range(0, width, WIDTH):
            row = splat(matrix, 0.0)
            for p in range(i + 1):
                row = fma(load(matrix, (p, j)), by[p, i], row)
            store(half, (i, j), row)
    for i in range(size):
        for j in range(0, width, WIDTH):
            row = splat(matrix, 0.0)
            for p in range(size):
                row = fma(load(by, (p, j)), half[i, p], row)
            store(found, (i, j), row)
