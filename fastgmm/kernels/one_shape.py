"""One shape for all components and a volume for each: Newton's steps in the volumes' logarithms.

Features lie side by side in registers: of variances, one line for each component, of matrices, d.
"""

from collections import namedtuple

import numpy as np

from fastgmm.kernels.jit import inline, kernel, piece
from fastgmm.kernels.simd.vectors import WIDTH, fma, load, splat, store, total

MOST_ROUNDS = 100
FLAT = 1e-12

# In what a round is computed
Round = namedtuple(
    "Round",
    [
        "scales",  # (K,) of each component in the sum
        "pooled",  # (1, d) or (d, d), the sum
        "factor",  # (d, d), its upper triangular factor, of matrices
        "whitening",  # (1, d) or (d, d): what brings it to the identity
        "half",  # (d, d)
        "shares",  # (K, 1, d) or (K, d, d): components, each brought there, too
        "traces",  # (K,) of these
        "bend",  # (K, K), second derivatives, and then their factor
        "step",  # (K,)
    ],
)


@kernel
def share_shape(covariances, parts, logs, enough, found):
    """Write covariances of one shape to found, those of highest likelihood but for little.

    covariances are those of each component's rows, variances (K, 1, d) or matrices (K, d, d), and
    parts (K,) of all rows; logs (K,) of 1 / volume are where to start from, and are overwritten.
    The last step is one that gains no more than enough.
    """
    n_components, n_lines, n_features = covariances.shape
    own = np.zeros((n_components, n_lines, padded(n_features)))
    own[:, :, :n_features] = covariances
    line = np.zeros_like(own[0])
    square = np.zeros((n_components, padded(n_components)))
    few = np.zeros(n_components)
    scratch = Round(
        few, line, line.copy(), line.copy(), line.copy(), np.zeros_like(own), few.copy(), square,
        few.copy(),
    )  # fmt: skip
    value = whiten(own, parts, logs, n_features, scratch)
    for _ in range(MOST_ROUNDS):
        gain = newton(parts, n_features, scratch)
        if not gain > enough:
            if not gain <= 0.0:  # a number, or none
                logs -= scratch.step
                whiten(own, parts, logs, n_features, scratch)
            break
        before, traces = logs.copy(), scratch.traces * scratch.scales
        logs -= scratch.step
        trial = whiten(own, parts, logs, n_features, scratch)
        if not trial < value:  # a round of alternating never raises the objective
            for k in range(n_components):
                if parts[k] > 0.0:
                    logs[k] = before[k] + np.log(n_features * parts[k] / traces[k])
            trial = whiten(own, parts, logs, n_features, scratch)
        value = trial
    for k in range(n_components):
        volume = scratch.traces[k] / n_features
        for i in range(n_lines):
            for j in range(n_features):
                found[k, i, j] = volume * scratch.pooled[i, j]


@inline
def padded(count):
    """Return so many numbers in whole registers."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@piece
def whiten(own, parts, logs, n_features, scratch):
    """Bring components into coordinates in which their scaled sum is the identity.

    Returns the objective.
    """
    n_components, n_lines, width = own.shape
    scales, pooled, whitening, traces = (
        scratch.scales, scratch.pooled, scratch.whitening, scratch.traces
    )  # fmt: skip
    value = 0.0
    for k in range(n_components):
        if parts[k] > 0.0:
            scales[k] = parts[k] * np.exp(logs[k])
            value -= n_features * parts[k] * logs[k]
    for i in range(n_lines):
        for j in range(0, width, WIDTH):
            entry = splat(own, 0.0)
            for k in range(n_components):
                entry = fma(load(own, (k, i, j)), scales[k], entry)
            store(pooled, (i, j), entry)
    if n_lines == 1:
        for j in range(n_features):
            value += np.log(pooled[0, j])
            whitening[0, j] = 1.0 / pooled[0, j]
        for k in range(n_components):
            trace = splat(own, 0.0)
            for j in range(0, width, WIDTH):
                share = load(own, (k, 0, j)) * load(whitening, (0, j))
                store(scratch.shares, (k, 0, j), share)
                trace = trace + share
            traces[k] = total(trace)
        return value
    factorise(pooled, n_features, scratch.factor)
    invert(scratch.factor, n_features, whitening)
    for j in range(n_features):
        value += 2.0 * np.log(scratch.factor[j, j])
    for k in range(n_components):
        transform(own[k], whitening, scratch.half, scratch.shares[k])
        traces[k] = 0.0
        for j in range(n_features):
            traces[k] += scratch.shares[k, j, j]
    return value


@piece
def newton(parts, n_features, scratch):
    """Write Newton's step to where the objective is least, and return what it would gain."""
    n_components, n_lines, width = scratch.shares.shape
    scales, shares, bend, step = scratch.scales, scratch.shares, scratch.bend, scratch.step
    for k in range(n_components):
        for p in range(k + 1):
            products = splat(shares, 0.0)
            for i in range(n_lines):
                for j in range(0, width, WIDTH):
                    products = fma(load(shares, (k, i, j)), load(shares, (p, i, j)), products)
            # a common factor changes nothing, nor do others where components' rows share no
            # direction; what is added makes the system regular, and is orthogonal to the gradient
            # or small
            bend[p, k] = parts[k] * parts[p] - scales[k] * scales[p] * total(products)
        trace = scales[k] * scratch.traces[k]
        bend[k, k] += (1.0 + FLAT) * trace if parts[k] > 0.0 else 1.0
        step[k] = trace - n_features * parts[k]
    factorise(bend, n_components, bend)
    gain = 0.0
    for k in range(n_components):  # U' y = gradient, |y|² the gain, and U step = y
        for p in range(k):
            step[k] -= bend[p, k] * step[p]
        step[k] /= bend[k, k]
        gain += step[k] * step[k]
    for k in range(n_components - 1, -1, -1):
        for p in range(k + 1, n_components):
            step[k] -= bend[k, p] * step[p]
        step[k] /= bend[k, k]
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
