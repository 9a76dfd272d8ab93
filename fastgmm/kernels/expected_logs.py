"""Expected logarithms of a mixture that is known but for some spread, as its E step needs them.

Factors of precisions are lines of columns: of a matrix as many of both as features, of variances
one line, of a column for each feature or of one for all.
"""

import numpy as np

from fastgmm.kernels.jit import kernel, quiet
from fastgmm.kernels.log_gamma import digamma


def log_weights(concentration, mean_precision, degrees_of_freedom, factors, noise, n_features):
    """Return what is added to the log density of each component, (K,).

    concentration (1, K) is of a Dirichlet distribution, or (2, K) of sticks, mean_precision (K,);
    degrees_of_freedom (K or 1,) and factors (K or 1, n_lines, n_columns) are of each precision.
    noise (n_features,) is the variance of what is added to each row.
    """
    found = np.empty(len(mean_precision))
    write(concentration, mean_precision, degrees_of_freedom, factors, noise, n_features, found)
    return found


@kernel
def write(concentration, mean_precision, degrees_of_freedom, factors, noise, n_features, found):
    """Write it (Bishop 2006, equations 10.64 to 10.66)."""
    n_lines, n_columns = factors.shape[1:]
    n_alike, volume, spread = n_features / n_columns, 0.0, 0.0
    write_expected(concentration, found)
    for k in range(len(found)):
        if k < len(factors):
            degrees = degrees_of_freedom[k]
            volume = log_gammas(degrees, n_features, n_lines, n_alike)
            volume -= n_features * np.log(0.5 * n_alike * degrees)
            spread = 0.0
            for i in range(n_lines):
                for j in range(n_columns):
                    spread += n_alike * noise[i if n_lines > 1 else j] * factors[k, i, j] ** 2
        found[k] += 0.5 * (volume - spread - n_features / mean_precision[k])


@quiet
def log_gammas(degrees, n_features, n_lines, n_alike):
    """Return the expected logarithms of the gamma variables of a precision, summed.

    Of a Wishart matrix those of its pivots (Bartlett 1933).
    """
    if n_lines == 1:
        return n_features * digamma(0.5 * n_alike * degrees)
    total = 0.0
    for j in range(n_features):
        total += digamma(0.5 * (degrees - j))
    return total


@quiet
def write_expected(concentration, found):
    """Write the expected logarithms of the weights."""
    n_components, whole, left = concentration.shape[1], 0.0, 0.0
    if len(concentration) == 1:
        for k in range(n_components):
            whole += concentration[0, k]
        whole = digamma(whole)
        for k in range(n_components):
            found[k] = digamma(concentration[0, k]) - whole
    else:
        for k in range(n_components):
            a, b = concentration[0, k], concentration[1, k]
            whole = digamma(a + b)
            found[k] = digamma(a) - whole + left
            left += digamma(b) - whole
