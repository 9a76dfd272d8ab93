"""Plain twins of what fastgmm computes: the definitions, in extended precision.

Arrays are np.longdouble, of 64 bits of mantissa on x86. A mixture is anything with a `structure`
(or scikit-learn's covariance type), `weights`, `means` and `covariances`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import digamma

STRUCTURES = ("spherical", "diagonal", "tied", "full")
COVARIANCE_TYPES = {"spherical": "spherical", "diagonal": "diag", "tied": "tied", "full": "full"}


class Mixture(NamedTuple):
    """Parameters as plain arrays."""

    structure: str
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # in the structure's shape


class Expectation(NamedTuple):
    """The sums of an E-step, about the current means."""

    weight: np.ndarray  # (K,)
    first: np.ndarray  # (K, d)
    second: np.ndarray  # in the structure's shape
    log_likelihood: np.longdouble


def exact(values):
    """Convert to extended precision."""
    return np.asarray(values, dtype=np.longdouble)


def full_covariances(mixture):
    """Every covariance written out as a matrix, (K, d, d)."""
    return matrices(mixture.structure, exact(mixture.covariances), *mixture.means.shape)


def matrices(structure, values, n_components, n_features):
    """Covariances, precisions or their factors in a structure's shape as matrices, (K, d, d)."""
    values, identity = np.asarray(values), np.eye(n_features)
    match structure:
        case "spherical":
            return values[:, None, None] * identity
        case "diagonal" | "diag":
            return values[:, :, None] * identity
        case "tied":
            return np.stack([values] * n_components)
        case "full":
            return values


def in_shape_of(structure, matrices):
    """(K, d, d) sums of squares in the structure's shape: traces, diagonals, pooled or as is."""
    match structure:
        case "spherical":
            return np.einsum("kii->k", matrices)
        case "diagonal" | "diag":
            return np.einsum("kii->ki", matrices)
        case "tied":
            return matrices.sum(axis=0)
        case "full":
            return matrices


def cholesky(matrix):
    """Lower triangular L with L L' the matrix."""
    lower = np.zeros_like(exact(matrix))
    for i in range(len(lower)):
        for j in range(i + 1):
            rest = matrix[i, j] - lower[i, :j] @ lower[j, :j]
            lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
    return lower


def log_densities(rows, weights, means, covariances, structure):
    """log(weight_k p_k(x_i)), (n, K)."""
    rows, weights, means = exact(rows), exact(weights), exact(means)
    matrices = full_covariances(Mixture(structure, weights, means, covariances))
    found = np.empty((len(rows), len(weights)), dtype=np.longdouble)
    for k, matrix in enumerate(matrices):
        lower = cholesky(matrix)
        z = np.empty_like(rows)
        for j in range(rows.shape[1]):
            z[:, j] = (rows[:, j] - means[k, j] - z[:, :j] @ lower[j, :j]) / lower[j, j]
        with np.errstate(divide="ignore"):  # the logarithm of weight 0 is meant to be -inf
            log_weight = np.log(weights[k])
        log_normaliser = np.log(np.diag(lower)).sum() + len(lower) * np.log(2 * exact(np.pi)) / 2
        found[:, k] = log_weight - log_normaliser - (z * z).sum(axis=1) / 2
    return found


def log_likelihoods(rows, mixture):
    """log p(x_i), (n,)."""
    terms = log_densities(rows, *mixture_fields(mixture))
    largest = terms.max(axis=1)
    return largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))


def responsibilities(rows, mixture):
    """p(k | x_i), (n, K)."""
    terms = log_densities(rows, *mixture_fields(mixture))
    return np.exp(terms - log_likelihoods(rows, mixture)[:, None])


def mixture_fields(mixture):
    """The fields of a mixture in the order of the arguments of log_densities."""
    return mixture.weights, mixture.means, mixture.covariances, mixture.structure


def expectation(rows, row_weights, mixture):
    """The sums of an E-step; `row_weights` None means all 1."""
    row_weights = exact(np.ones(len(rows)) if row_weights is None else row_weights)
    weighted = responsibilities(rows, mixture) * row_weights[:, None]
    centred = exact(rows)[:, None, :] - exact(mixture.means)  # (n, K, d)
    return Expectation(
        weight=weighted.sum(axis=0),
        first=np.einsum("nk,nki->ki", weighted, centred),
        second=in_shape_of(
            mixture.structure, np.einsum("nk,nki,nkj->kij", weighted, centred, centred)
        ),
        log_likelihood=(row_weights * log_likelihoods(rows, mixture)).sum(),
    )


def m_step(rows, weighted_responsibilities, structure, reg_covar):
    """The mixture of highest expected log-likelihood, by two visits to the rows."""
    rows, weighted = exact(rows), exact(weighted_responsibilities)
    weight = weighted.sum(axis=0)
    means = np.einsum("nk,ni->ki", weighted, rows) / weight[:, None]
    centred = rows[:, None, :] - means
    scatter = np.einsum("nk,nki,nkj->kij", weighted, centred, centred)
    identity = np.eye(rows.shape[1])
    match structure:
        case "spherical":
            traces = np.einsum("kii->k", scatter)
            covariances = traces / weight / rows.shape[1] + reg_covar
        case "diagonal" | "diag":
            covariances = np.einsum("kii->ki", scatter) / weight[:, None] + reg_covar
        case "tied":
            covariances = scatter.sum(axis=0) / weight.sum() + reg_covar * identity
        case "full":
            covariances = scatter / weight[:, None, None] + reg_covar * identity
    return Mixture(structure, weight / weight.sum(), means, covariances)


def em_iteration(rows, row_weights, mixture, reg_covar):
    """Mean log-likelihood of the mixture, and the next mixture."""
    row_weights = exact(np.ones(len(rows)) if row_weights is None else row_weights)
    weighted = responsibilities(rows, mixture) * row_weights[:, None]
    log_likelihood = (row_weights * log_likelihoods(rows, mixture)).sum() / row_weights.sum()
    return log_likelihood, m_step(rows, weighted, mixture.structure, reg_covar)


def statistics(rows, row_weights, parameters):
    """The sums of an E-step, rounded once, as fastgmm's own statistics."""
    from fastgmm.mixture.statistics import SufficientStatistics

    row_weights = np.ones(len(rows)) if row_weights is None else np.asarray(row_weights)
    sums = expectation(rows, row_weights, parameters)
    return SufficientStatistics(
        weight=sums.weight.astype(np.float64),
        first=sums.first.astype(np.float64),
        second=sums.second.astype(np.float64),
        log_likelihood=float(sums.log_likelihood),
        n_rows=int(np.count_nonzero(row_weights > 0)),
        row_weight=float(row_weights.sum()),
        origin=parameters.means,
        structure=parameters.structure,
    )


def random_mixture(structure, n_components, n_features, rng, offset=0.0):
    """A mixture with overlapping components of about unit size."""
    shape = (n_components, n_features, 2 * n_features + 1)
    matrices = 0.2 * np.eye(n_features) + np.einsum(
        "kia,kja->kij", *[rng.normal(scale=0.5, size=shape)] * 2
    )
    match structure:
        case "spherical":
            covariances = np.einsum("kii->k", matrices) / n_features
        case "diagonal" | "diag":
            covariances = np.einsum("kii->ki", matrices)
        case "tied":
            covariances = matrices[0]
        case "full":
            covariances = matrices
    return Mixture(
        structure,
        weights=rng.dirichlet(np.full(n_components, 5.0)),
        means=offset + rng.normal(scale=3.0, size=(n_components, n_features)),
        covariances=covariances,
    )


def random_rows(mixture, n_rows, rng):
    """Rows drawn from a mixture, in random order."""
    labels = rng.choice(len(mixture.weights), size=n_rows, p=mixture.weights)
    factors = np.stack([cholesky(matrix) for matrix in full_covariances(mixture)])
    steps = rng.normal(size=(n_rows, mixture.means.shape[1]))
    rows = mixture.means[labels] + np.einsum("nij,nj->ni", factors[labels], steps)
    return rows.astype(np.float64)


def expected_weights(concentration):
    """Expected weights of a Dirichlet distribution (K,), or of sticks (2, K) over their sum."""
    concentration = exact(concentration)
    if concentration.ndim == 1:
        return concentration / concentration.sum()
    sticks = concentration[0] / concentration.sum(axis=0)
    weights = [stick * np.prod(1 - sticks[:k]) for k, stick in enumerate(sticks)]
    return np.array(weights) / sum(weights)


def expected_log_weights(concentration):
    """Expected logarithms of the same weights, by SciPy."""
    if concentration.ndim == 1:
        return digamma(concentration) - digamma(concentration.sum())
    a, b = concentration
    own, passed = digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)
    return np.array([own[k] + passed[:k].sum() for k in range(len(a))])


def sticks(rows, concentration):
    """The posterior (2, K) of sticks of which components hold so many rows."""
    after = [rows[k + 1 :].sum() for k in range(len(rows))]
    return np.array([1.0 + rows, concentration + np.array(after)])
