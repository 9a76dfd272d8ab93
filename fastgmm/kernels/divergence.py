"""How far a mixture, as it is known after the rows, is from what was known before.

Each term is one that is not negative, so that a prior of 1e12 rows leaves the digits of the sum.
"""

import numpy as np

from fastgmm.kernels.jit import kernel, quiet
from fastgmm.kernels.log_gamma import above, gap


def divergence(known, concentration, mean_precision, degrees_of_freedom, means, factors):
    """Return the Kullback-Leibler divergence of a posterior from the prior.

    known is a `fastgmm.kernels.posterior.Known`; the other arrays are as in
    `fastgmm.kernels.expected_logs`.
    """
    lines = np.empty((2, means.shape[1]))
    return total(known, concentration, mean_precision, degrees_of_freedom, means, factors, lines)


@kernel
def total(known, concentration, mean_precision, degrees_of_freedom, means, factors, lines):
    """Do so, with two lines (d,) to write to."""
    n_components, n_features = means.shape
    n_lines, n_columns = known.root.shape
    n_alike, before = n_features / n_columns, known.degrees_of_freedom
    away, whitened = lines[0], lines[1]
    found = of_weights(known.concentration, known.is_process, concentration)
    for k in range(n_components):
        for j in range(n_features):
            away[j] = means[k, j] - known.mean[j]
        whiten(away, factors[k if len(factors) > 1 else 0], whitened)
        found += 0.5 * n_features * gap(known.mean_precision, mean_precision[k]) / mean_precision[k]
        for j in range(n_features):
            found += 0.5 * known.mean_precision * whitened[j] ** 2
    for k in range(1 if known.is_shared else n_components):
        after = degrees_of_freedom[k]
        found += 0.5 * n_alike * before * loss(known.root, factors[k], whitened)
        found -= 0.5 * n_features * gap(after, before)
        if n_lines == 1:
            found += n_columns * above(0.5 * n_alike * before, 0.5 * n_alike * after)
        else:
            for j in range(n_features):
                found += above(0.5 * (before - j), 0.5 * (after - j))
    return found


@quiet
def of_weights(before, is_process, concentration):
    """Return that of the weights, or of sticks."""
    n_components, found, whole = concentration.shape[1], 0.0, 0.0
    if is_process:
        for k in range(n_components):
            a, b = concentration[0, k], concentration[1, k]
            found += above(1.0, a) + above(before, b) - above(1.0 + before, a + b)
        return found
    for k in range(n_components):
        found += above(before, concentration[0, k])
        whole += concentration[0, k]
    return found - above(n_components * before, whole)


@quiet
def whiten(vector, factor, found):
    """Write U' of a vector."""
    n_lines, n_columns = factor.shape
    for j in range(len(vector)):
        found[j] = 0.0 if n_lines > 1 else vector[j] * factor[0, j if n_columns > 1 else 0]
    for i in range(n_lines if n_lines > 1 else 0):
        for j in range(i if vector[i] != 0.0 else n_columns, n_columns):
            found[j] += vector[i] * factor[i, j]


@quiet
def loss(root, factor, line):
    """Return Stein's, tr(C P) - log det(C P) - d, of C = R' R and a precision P = U U'.

    It has all digits where it is nearly 0, as it is where a prior of 1e12 rows multiplies it.
    """
    found = 0.0
    for i in range(len(root)):
        whiten(root[i], factor, line)
        for j in range(i, root.shape[1]):
            if i == j or len(root) == 1:
                found += (line[j] - 1.0) * (line[j] + 1.0) - 2.0 * np.log(line[j])
            else:
                found += line[j] ** 2
    return found
