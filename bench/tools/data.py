"""Mixtures by size, made from a seed: clusters that overlap, as in data that need a mixture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DISTANCE = 4.0  # between means, about: neighbours overlap, and are still told apart
EIGENVALUES = (0.1, 10.0)


class Mixture(NamedTuple):
    """What rows are drawn from."""

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)


def mixture(n_features: int, n_components: int, seed: int = 0) -> Mixture:
    """Unequal weights, means about four apart, covariances turned and stretched at random."""
    rng = np.random.default_rng([seed, n_features, n_components])
    weights = rng.uniform(1.0, 4.0, n_components)
    means = rng.normal(scale=DISTANCE / np.sqrt(2 * n_features), size=(n_components, n_features))
    axes, _ = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))
    low, high = np.log(EIGENVALUES)
    eigenvalues = np.exp(rng.uniform(low, high, (n_components, 1, n_features)))
    return Mixture(weights / weights.sum(), means, (axes * eigenvalues) @ axes.swapaxes(1, 2))


def rows(made_of: Mixture, n_rows: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    """Draw n_rows, in random order."""
    rng = np.random.default_rng([seed, n_rows])
    labels = rng.choice(len(made_of.weights), size=n_rows, p=made_of.weights)
    drawn = rng.standard_normal((n_rows, made_of.means.shape[1]))
    factors = np.linalg.cholesky(made_of.covariances)
    for k, factor in enumerate(factors):
        of_k = labels == k
        drawn[of_k] = drawn[of_k] @ factor.T + made_of.means[k]
    return drawn.astype(dtype, copy=False)


def start(made_of: Mixture, covariance_type: str, seed: int = 0) -> dict[str, Any]:
    """Where EM begins, as arguments of an estimator: near the truth, and wrong enough to move."""
    rng = np.random.default_rng([seed, 1])
    n_components, n_features = made_of.means.shape
    return {
        "n_components": n_components,
        "covariance_type": covariance_type,
        "weights_init": np.full(n_components, 1.0 / n_components),
        "means_init": made_of.means + rng.normal(scale=0.5, size=made_of.means.shape),
        "precisions_init": {
            "full": np.tile(np.eye(n_features), (n_components, 1, 1)),
            "tied": np.eye(n_features),
            "diag": np.ones((n_components, n_features)),
            "spherical": np.ones(n_components),
        }[covariance_type],
    }
