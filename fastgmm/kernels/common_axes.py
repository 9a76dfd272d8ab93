"""Axes that all components have in common, turned two at a time (Flury and Gautschi 1986).

For each pair, the turn follows from the exact minimum of a majoriser of the objective: the one in
which the variances along the axes are held, as in Browne and McNicholas (2014). It is a sinusoid of
the angle, so it falls for any step shorter than twice that to the minimum.
"""

import numpy as np

from fastgmm.kernels.jit import inline, kernel, piece

LEFT = 1e-16  # nats per row that may be left to gain
# Steps as long as 1.5 times that to the minimum save half of the sweeps, as in over-relaxation: 33
# instead of 75 in an M-step of 10 components of 10 features whose axes have nothing in common.
LENGTH = 1.5


@kernel
def turn_to_minimum(products, weights, has_one_volume, most_sweeps, axes):
    """Turn axes (d, d) in place, so that the log-likelihood rises, while much is left to gain.

    products (d, d, K) are axes' covariance_k axes, and are turned, too; weights (K,).
    Gains shrink from sweep to sweep by a factor that tells what is left.
    """
    n_features = len(axes)
    before = 0.0
    for _ in range(most_sweeps):
        volumes = weights.copy()
        if has_one_volume:  # a majoriser is that of volumes of their own for these weights
            for k in range(len(weights)):
                logs = 0.0
                for j in range(n_features):
                    logs += np.log(products[j, j, k])
                volumes[k] *= np.exp(logs / n_features)
        volumes /= volumes.sum()
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
    n_features, n_components = len(axes), len(weights)
    across, apart = 0.0, 0.0
    for k in range(n_components):
        first, second = products[j, j, k], products[m, m, k]
        scale = weights[k] * (second - first) / (first * second)
        across += scale * products[j, m, k]
        apart += scale * (second - first)
    if across == 0.0:  # so far apart that nothing can be gained, or all variances are equal
        turn = 0.0
    else:
        turn = -2.0 * across / (apart + np.sqrt(apart * apart + 4.0 * across * across))
    angle = LENGTH * np.arctan(turn)
    cosine, sine = np.cos(angle), np.sin(angle)
    if has_one_volume:  # to first order; each sweep begins with the volumes as they are
        for k in range(n_components):
            first, second, product = products[j, j, k], products[m, m, k], products[j, m, k]
            longer = cosine * cosine * first + sine * (2.0 * cosine * product + sine * second)
            ratio = longer * (first + second - longer) / (first * second)
            weights[k] *= 1.0 + (ratio - 1.0) / n_features
    for i in range(n_features):
        axes[i, j], axes[i, m] = turned(axes[i, j], axes[i, m], cosine, sine)
        for k in range(n_components):
            products[i, j, k], products[i, m, k] = turned(
                products[i, j, k], products[i, m, k], cosine, sine
            )
    for i in range(n_features):
        for k in range(n_components):
            products[j, i, k], products[m, i, k] = turned(
                products[j, i, k], products[m, i, k], cosine, sine
            )
    return -across * turn


@inline
def turned(first, second, cosine, sine):
    """Turn two numbers in their plane."""
    return cosine * first + sine * second, cosine * second - sine * first
