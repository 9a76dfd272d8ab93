"""Axes that all components have in common, turned two at a time (Flury and Gautschi 1986).

For each pair, the turn follows from the exact minimum of a majoriser of the objective: the one in
which the variances along the axes are held, as in Browne and McNicholas (2014). It is a sinusoid of
the angle, so it falls for any step shorter than twice that to the minimum.

Components lie side by side in registers; those that fill the last one are spheres without weight.
"""

import numpy as np

from fastgmm.kernels.jit import inline, kernel, piece
from fastgmm.kernels.simd.vecmath import exp_of_normal, log
from fastgmm.kernels.simd.vectors import WIDTH, fma, load, splat, store, total, where_less

LEFT = 1e-16  # nats per row that may be left to gain
# Turns by 1.5 times the tangent of that to the minimum, as in over-relaxation, take 137 sweeps and
# not 233 to 1e-10 of the end where 10 components of 10 features have nothing in common
LENGTH = 1.5


def turn_to_minimum(covariances, parts, has_one_volume, most_sweeps, axes, found):
    """Turn axes (d, d) in place while much is left to gain; return the objective, never higher.

    covariances (K, d, d) are those of each component's rows, parts (K,) of all rows; those of the
    family that have these axes are written to found (K, d, d). Without has_one_volume the objective
    is sum_k p_k log|v_k| of the variances v_k along the axes, with it sum_k p_k |v_k|^(1/d).
    """
    n_components, n_features = covariances.shape[:2]
    n_lanes = (n_components + WIDTH - 1) // WIDTH * WIDTH
    # made here: a kernel that makes them takes twice as long to compile
    squares, lines = np.empty((3, n_features, n_features, n_lanes)), np.empty((2, n_lanes))
    variances = np.empty((n_features, n_lanes))
    return turn_all(
        covariances, parts, has_one_volume, most_sweeps, axes, axes.copy(), squares, variances,
        lines, found,
    )  # fmt: skip


@kernel
def turn_all(
    covariances, parts, has_one_volume, most_sweeps, axes, begun, squares, variances, lines, found
):
    """Do so, with components side by side in squares (3, d, d, K) and lines (2, K)."""
    n_components, n_features = len(covariances), len(axes)
    own, half, products = squares[0], squares[1], squares[2]
    weights, volumes = lines[0], lines[1]
    for k in range(len(weights)):
        is_one = k < n_components
        weights[k] = parts[k] if is_one else 0.0
        for i in range(n_features):
            for j in range(n_features):
                own[i, j, k] = covariances[k, i, j] if is_one else 1.0 * (i == j)
    measure(own, axes, half, variances)
    before = objective(variances, weights, has_one_volume)
    multiply(axes, half, products)
    sweep(products, weights, volumes, has_one_volume, most_sweeps, axes)
    measure(own, axes, half, variances)
    reached = objective(variances, weights, has_one_volume)
    if not reached < before:
        for i in range(n_features):
            for j in range(n_features):
                axes[i, j] = begun[i, j]
        measure(own, axes, half, variances)
        reached = before
    if has_one_volume:
        equalise(variances, reached)
    compose(axes, variances, products)
    for k in range(n_components):
        for i in range(n_features):
            for j in range(n_features):
                found[k, i, j] = products[i, j, k]
    return reached


@piece
def measure(own, axes, half, variances):
    """Write the products covariance_k axes to half (d, d, K), and the variances along the axes."""
    n_features, n_lanes = variances.shape
    for k in range(0, n_lanes, WIDTH):
        for m in range(n_features):
            variance = splat(own, 0.0)
            for i in range(n_features):
                product = splat(own, 0.0)
                for j in range(n_features):
                    product = fma(load(own, (i, j, k)), axes[j, m], product)
                store(half, (i, m, k), product)
                variance = fma(product, axes[i, m], variance)
            # rounding may leave less than nothing
            store(variances, (m, k), where_less(variance, 0.0, 0.0, variance))


@piece
def multiply(axes, half, products):
    """Write axes' covariance_k axes to products (d, d, K), on and above their diagonals."""
    n_features, n_lanes = len(axes), half.shape[2]
    for k in range(0, n_lanes, WIDTH):
        for j in range(n_features):
            for m in range(j, n_features):
                product = splat(half, 0.0)
                for i in range(n_features):
                    product = fma(load(half, (i, m, k)), axes[i, j], product)
                store(products, (j, m, k), product)


@piece
def objective(variances, weights, has_one_volume):
    """Return the sum of log volumes, or of volumes, of components that have weight."""
    n_features, n_lanes = variances.shape
    found = 0.0
    for k in range(n_lanes):
        if weights[k] > 0.0:
            logs = 0.0
            for j in range(n_features):
                logs += np.log(variances[j, k])
            found += weights[k] * (np.exp(logs / n_features) if has_one_volume else logs)
    return found


@piece
def equalise(variances, volume):
    """Scale the variances of each component so that all have this volume."""
    n_features, n_lanes = variances.shape
    for k in range(n_lanes):
        logs = 0.0
        for j in range(n_features):
            logs += np.log(variances[j, k])
        scale = volume / np.exp(logs / n_features)
        for j in range(n_features):
            variances[j, k] *= scale


@piece
def compose(axes, variances, found):
    """Write the matrices with these variances (d, K) along the axes to found (d, d, K)."""
    n_features, n_lanes = variances.shape
    for k in range(0, n_lanes, WIDTH):
        for i in range(n_features):
            for j in range(i + 1):
                entry = splat(variances, 0.0)
                for m in range(n_features):
                    entry = fma(load(variances, (m, k)), axes[i, m] * axes[j, m], entry)
                store(found, (i, j, k), entry)
                store(found, (j, i, k), entry)


@piece
def sweep(products, weights, volumes, has_one_volume, most_sweeps, axes):
    """Turn all pairs of axes, and the products, until little is left to gain.

    Gains shrink from sweep to sweep by a factor that tells what is left.
    """
    n_features, n_lanes = len(axes), len(weights)
    before = 0.0
    for _ in range(most_sweeps):
        whole = splat(products, 0.0)
        for k in range(0, n_lanes, WIDTH):
            weight = load(weights, (k,))
            volume = weight
            if has_one_volume:  # a majoriser is that of volumes of their own for these weights
                logs = splat(products, 0.0)
                for j in range(n_features):
                    logs = logs + log(load(products, (j, j, k)))
                volume = weight * exp_of_normal(logs * (1.0 / n_features))
                volume = where_less(0.0, weight, volume, 0.0)
            store(volumes, (k,), volume)
            whole = whole + volume
        scale = 1.0 / total(whole)
        for k in range(0, n_lanes, WIDTH):
            store(volumes, (k,), load(volumes, (k,)) * scale)
        gain = 0.0
        for j in range(n_features - 1):
            for m in range(j + 1, n_features):
                gain += turn_pair(products, volumes, has_one_volume, axes, j, m)
        if not gain * gain > LEFT * (before - gain):
            break
        before = gain


@piece
def turn_pair(products, weights, has_one_volume, axes, j, m):
    """Turn axes j and m; return what the majoriser could gain."""
    n_features, n_lanes = len(axes), len(weights)
    across, apart = splat(products, 0.0), splat(products, 0.0)
    for k in range(0, n_lanes, WIDTH):
        first, second = load(products, (j, j, k)), load(products, (m, m, k))
        weight, difference = load(weights, (k,)), second - first
        # rows without weight may have no variance
        scale = where_less(0.0, weight, weight * difference / (first * second), 0.0)
        across = fma(scale, load(products, (j, m, k)), across)
        apart = fma(scale, difference, apart)
    off, between = total(across), total(apart)
    if off == 0.0:  # so far apart that nothing can be gained, or all variances are equal
        turn = 0.0
    else:
        turn = -2.0 * off / (between + np.sqrt(between * between + 4.0 * off * off))
    cosine = 1.0 / np.sqrt(1.0 + LENGTH * LENGTH * turn * turn)
    sine = LENGTH * turn * cosine
    for k in range(0, n_lanes, WIDTH):
        first, second = load(products, (j, j, k)), load(products, (m, m, k))
        product = load(products, (j, m, k))
        along, aside = turned(first, product, cosine, sine)
        over, away = turned(product, second, cosine, sine)
        longer = along * cosine + over * sine
        store(products, (j, j, k), longer)
        store(products, (j, m, k), aside * cosine + away * sine)
        store(products, (m, m, k), away * cosine - aside * sine)
        if has_one_volume:  # to first order; each sweep begins with the volumes as they are
            weight = load(weights, (k,))
            ratio = longer * (first + second - longer) / (first * second)
            changed = weight * (1.0 + (ratio - 1.0) * (1.0 / n_features))
            store(weights, (k,), where_less(0.0, weight, changed, 0.0))
    for i in range(n_features):
        axes[i, j], axes[i, m] = turned(axes[i, j], axes[i, m], cosine, sine)
    for i in range(n_features):
        if i != j and i != m:
            turn_lines(products, min(i, j), max(i, j), min(i, m), max(i, m), cosine, sine)
    return -off * turn


@inline
def turn_lines(products, i, j, p, q, cosine, sine):
    """Turn the entries (i, j) and (p, q) of all components in their plane."""
    for k in range(0, products.shape[2], WIDTH):
        first, second = load(products, (i, j, k)), load(products, (p, q, k))
        first, second = turned(first, second, cosine, sine)
        store(products, (i, j, k), first)
        store(products, (p, q, k), second)


@inline
def turned(first, second, cosine, sine):
    """Turn two numbers, or two registers, in their plane."""
    return first * cosine + second * sine, second * cosine - first * sine
