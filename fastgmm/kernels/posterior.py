"""What sums of rows make of a prior: the posterior of a mixture.

All structures of covariances are one here, a line of entries for each component, or one that all
share. A sum over rows, x x' say, is told by which features make which entry: of matrices each pair
an entry of its own, of variances each feature one of its own, or all the same.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import kernel, quiet

# Squares of a step in those of deviations, whose rounding, 1e-12, is too much to add to the others
FAR = 1e4
# Lines of numbers, one for each component: the weight of its rows, its expected weight, the rows
# that its mean is known from, degrees of freedom, and one or two lines of a concentration
ROWS, WEIGHTS, MEAN_PRECISION, DEGREES, CONCENTRATION, LEFT = range(6)
N_LINES = 6


class Known(NamedTuple):
    """What is known before the rows."""

    concentration: float  # of each weight, or of the process
    is_process: bool
    mean_precision: float
    degrees_of_freedom: float
    is_shared: bool  # one precision, of all components
    mean: np.ndarray  # (d,)
    covariance: np.ndarray  # (n_entries,) inverse scale of a precision
    root: np.ndarray  # (n_lines, n_columns) upper R, of which R' R is that per degree of freedom
    left: np.ndarray  # (d,) or (d d,) the features of each product, ...
    right: np.ndarray
    entry: np.ndarray  # ... and where they are summed


class Found(NamedTuple):
    """What is known after them."""

    numbers: np.ndarray  # (6, K)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K or 1, n_entries)
    own: np.ndarray  # the same without the products of steps
    steps: np.ndarray  # (K, d) of the means, in the measure of the covariances
    is_far: bool  # whether a step is so long that it leaves too few digits of what is own


def posterior(weight, first, second, origin, known, added, least):
    """Return what is known after rows.

    weight (K,), first (K, d) and second moments (K or 1, n_entries) about origin (K, d) are sums
    over the rows; components that weigh no more than least hold none. added (n_entries,) is added
    to the variances of the rows. Components of a process are sorted by their weights.
    """
    n_components, n_features = first.shape
    # made here: a kernel that makes arrays takes longer to compile
    numbers, order = np.empty((N_LINES, n_components)), np.arange(n_components)
    means, steps = np.empty((2, n_components, n_features))
    own, covariances = np.zeros((2, *second.shape))
    is_far = update(
        weight, first, second, origin, known, added, least, order, numbers, means, steps, own,
        covariances,
    )  # fmt: skip
    if known.is_shared and len(own) > 1:
        covariances[1:] = covariances[0]
    return Found(numbers, means, covariances, own, steps, is_far)


@kernel
def update(
    weight, first, second, origin, known, added, least, order, numbers, means, steps, own,
    covariances,
):  # fmt: skip
    """Write it (Bishop 2006, equations 10.57 to 10.63); tell whether a step is far."""
    n_components, n_features = first.shape
    n_alike = len(known.entry) / len(known.covariance)  # features that each variance stands for
    alone, mass, is_far = int(not known.is_shared), 0.0, False
    if known.is_process:
        sort(weight, known.concentration, order)
    for c in range(n_components):
        rows = weight[order[c]]
        numbers[ROWS, c] = 0.0 if rows <= least else rows
        mass += numbers[ROWS, c]
    count(known, numbers)
    for c in range(len(second)):
        k = order[c] if len(second) == n_components else c
        for e in range(second.shape[1]):
            own[c * alone, e] += second[k, e]
    for c in range(n_components):
        k, rows = order[c], numbers[ROWS, c]
        share = rows / numbers[MEAN_PRECISION, c]
        length = np.sqrt(known.mean_precision * share / numbers[DEGREES, c])
        for j in range(n_features):
            steps[c, j] = first[k, j] / rows if rows != 0.0 else 0.0  # from the origin, so far
        for e in range(len(known.entry)):
            i, j = known.left[e], known.right[e]
            product = first[k, i] * steps[c, j] + first[k, j] * steps[c, i]
            own[c * alone, known.entry[e]] -= 0.5 * product
        for j in range(n_features):
            away = origin[k, j] + steps[c, j] - known.mean[j]
            means[c, j] = known.mean[j] + share * away
            steps[c, j] = length * away
    for c in range(n_components if alone else 1):
        degrees = numbers[DEGREES, c]
        noise = (numbers[ROWS, c] if alone else mass) / degrees
        for e in range(own.shape[1]):
            own[c, e] = (known.covariance[e] + own[c, e] / n_alike) / degrees + noise * added[e]
            covariances[c, e] = own[c, e]
    for c in range(n_components):
        for e in range(len(known.entry)):
            i, j, entry = known.left[e], known.right[e], known.entry[e]
            product = steps[c, i] * steps[c, j]
            covariances[c * alone, entry] += product / n_alike
            is_far |= i == j and product > FAR * own[c * alone, entry]
    return is_far


@kernel
def count_rows(known, numbers):
    """Write what follows from the weights of the components' rows."""
    count(known, numbers)


@quiet
def count(known, numbers):
    """Do so."""
    n_components, mass, after, left, whole = numbers.shape[1], 0.0, 0.0, 1.0, 0.0
    for k in range(n_components):
        mass += numbers[ROWS, k]
    for k in range(n_components - 1, -1, -1):
        numbers[LEFT, k] = known.concentration + after
        after += numbers[ROWS, k]
    for k in range(n_components):
        rows = numbers[ROWS, k]
        numbers[MEAN_PRECISION, k] = known.mean_precision + rows
        numbers[DEGREES, k] = known.degrees_of_freedom + (mass if known.is_shared else rows)
        if known.is_process:
            numbers[CONCENTRATION, k] = 1.0 + rows
            stick = numbers[CONCENTRATION, k] + numbers[LEFT, k]
            numbers[WEIGHTS, k] = numbers[CONCENTRATION, k] / stick * left
            left *= numbers[LEFT, k] / stick
        else:
            numbers[CONCENTRATION, k] = known.concentration + rows
            numbers[WEIGHTS, k] = numbers[CONCENTRATION, k]
        whole += numbers[WEIGHTS, k]
    for k in range(n_components):
        numbers[WEIGHTS, k] /= whole


@quiet
def sort(weight, concentration, order):
    """Put components in descending order of their weights, where that raises the bound.

    Sticks of a process prefer it (Kurihara, Welling and Teh 2007). Of their normalising constants
    all cancels but the logarithm of what each leaves to those after it.
    """
    n_components = len(weight)
    for n in range(1, n_components):  # by insertion: after the first pass nearly all are in order
        k, at = order[n], n
        while at > 0 and weight[order[at - 1]] < weight[k]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k
    here, there, gain = concentration, concentration, 0.0
    for n in range(n_components - 1, 0, -1):
        here += weight[n]
        there += weight[order[n]]
        gain += np.log(here / there)
    if not gain > 0.0:
        for n in range(n_components):
            order[n] = n
