"""Covariances of a family from numbers without any constraint, and what its M-step minimises."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm


def n_numbers(name, n_components, n_features):
    """Count numbers that say more than the family has: a shape has a volume of its own here."""
    times = {"E": 1, "V": n_components, "I": 0}
    sizes = 1, n_features, n_features * (n_features - 1) // 2
    return sum(times[letter] * size for letter, size in zip(name, sizes, strict=True))


def matrices(name, numbers, n_components, n_features, axes=None):
    """Return covariance matrices (K, d, d): volumes, shapes, and turns of the given axes."""
    shares = {"E": 1, "V": n_components, "I": 0}
    sizes = 1, n_features, n_features * (n_features - 1) // 2
    parts, rest = [], np.asarray(numbers)
    for letter, size in zip(name, sizes, strict=True):
        part, rest = np.split(rest, [shares[letter] * size])
        part = part.reshape(shares[letter], size) if len(part) else np.zeros((1, size))
        parts.append(np.broadcast_to(part, (n_components, size)))
    volumes, shapes, turns = parts
    logs = volumes + shapes - shapes.mean(axis=1, keepdims=True)
    lower = np.tril_indices(n_features, -1)
    found = np.empty((n_components, n_features, n_features))
    axes = np.broadcast_to(np.eye(n_features) if axes is None else axes, found.shape)
    for k in range(n_components):
        skew = np.zeros((n_features, n_features))
        skew[lower] = turns[k]
        turned = axes[k] @ expm(skew - skew.T) if turns[k].any() else axes[k]
        found[k] = (turned * np.exp(logs[k])) @ turned.T
    return found


def objective(own, parts, covariances):
    """Return sum_k p_k [tr(S_k C_k^-1) + log|C_k|], which M-steps minimise."""
    traces = np.trace(np.linalg.solve(covariances, own), axis1=1, axis2=2)
    return float(parts @ (traces + np.linalg.slogdet(covariances)[1]))
