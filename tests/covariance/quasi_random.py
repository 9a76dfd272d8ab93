"""Rows made by a formula, so that numbers of another program can be compared with ours."""

from __future__ import annotations

import numpy as np


def clusters(n_rows=240, n_components=3):
    """Rows (n, 3) of clusters of unlike volumes, shapes and axes, and their labels."""
    at = np.arange(1.0, n_rows + 1.0)[:, None]
    # fractions of multiples of roots of primes, four of which nearly are a normal variable
    fractions = at * np.sqrt([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]) % 1.0
    normal = np.sqrt(3.0) * (fractions.reshape(n_rows, 3, 4).sum(axis=2) - 2.0)
    labels = np.arange(n_rows) % 7 % n_components  # of unlike numbers of rows
    k = labels[:, None]
    bent = normal * (0.6 + 0.4 * k) * [[2.0, 0.7, 0.4]]
    turned = bent + np.roll(bent, 1, axis=1) * [[0.3, -0.5, 0.2]] * k
    return turned + 2.5 * np.column_stack([np.cos(labels), np.sin(labels), labels - 1.0]), labels
