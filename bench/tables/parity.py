"""How far fastgmm and scikit-learn are apart from the same start: a table of relative differences.

Run it as `python -m bench.tables.parity`; `tests/promises/test_matches_scikit_learn.py` holds its
cases to 1e-6.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.preprocessing import StandardScaler

from bench.tools.table import Table
from fastgmm import DegenerateComponentWarning
from fastgmm import GaussianMixture as Ours

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


class Case(NamedTuple):
    """Real rows, and how to fit a mixture to them."""

    rows: np.ndarray  # (n, d)
    n_components: int
    reg_covar: float = 1e-6
    tol: float = 1e-5


def cases() -> dict[str, Case]:
    """Return the sets by name."""
    wine, cancer = load_wine().data, load_breast_cancer().data
    digits = load_digits().data
    blobs, _ = make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)
    scaled = StandardScaler().fit_transform
    return {
        "iris": Case(load_iris().data, 3),
        "wine": Case(wine, 3),
        "wine, standardised": Case(scaled(wine), 3),
        "digits": Case(digits, 10, reg_covar=0.1),
        "digits, 20 principal components": Case(
            PCA(20, svd_solver="full").fit_transform(digits), 10
        ),
        "breast cancer, standardised": Case(scaled(cancer), 2),
        "blobs": Case(blobs, 4),
    }


def start(case: Case, covariance_type: str) -> dict[str, Any]:
    """Return weights, means and precisions of the clusters that scikit-learn's k-means finds."""
    labels = KMeans(case.n_components, n_init=1, random_state=0).fit_predict(case.rows)
    groups = [case.rows[labels == k] for k in range(case.n_components)]
    weights = np.array([len(group) / len(case.rows) for group in groups])
    means = np.array([group.mean(axis=0) for group in groups])
    centred = [group - mean for group, mean in zip(groups, means, strict=True)]
    scatters = np.array([group.T @ group / len(group) for group in centred])
    scatters += case.reg_covar * np.eye(case.rows.shape[1])
    variances = np.einsum("kii->ki", scatters)
    precisions = {
        "full": lambda: np.linalg.inv(scatters),
        "tied": lambda: np.linalg.inv(np.einsum("k,kij->ij", weights, scatters)),
        "diag": lambda: 1.0 / variances,
        "spherical": lambda: 1.0 / variances.mean(axis=1),
    }[covariance_type]()
    if covariance_type in ("full", "tied"):
        precisions = (precisions + precisions.swapaxes(-1, -2)) / 2
    return {"weights_init": weights, "means_init": means, "precisions_init": precisions}


def fitted(case: Case, covariance_type: str, dtype: type = np.float64) -> tuple[Any, Any]:
    """Fit both from the same start; return theirs and ours."""
    rows = case.rows.astype(dtype)
    settings = {
        "n_components": case.n_components,
        "covariance_type": covariance_type,
        "reg_covar": case.reg_covar,
        "tol": case.tol,
        "max_iter": 200,
        **start(case, covariance_type),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DegenerateComponentWarning)  # constant pixels in digits
        return Theirs(**settings).fit(rows), Ours(**settings).fit(rows)


def differences(case: Case, theirs: Any, ours: Any) -> dict[str, float]:
    """Return the largest differences, each relative to the largest number of its component."""
    rows = case.rows
    kinds = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
    found = {kind: _relative(getattr(ours, kind), getattr(theirs, kind)) for kind in kinds}
    bounds = np.array(theirs.lower_bounds_)
    both = min(len(bounds), len(ours.lower_bounds_))
    found["lower_bounds_"] = float(
        np.max(np.abs(np.array(ours.lower_bounds_)[:both] - bounds[:both]) / np.abs(bounds[:both]))
    )
    found["predict_proba"] = float(
        np.abs(ours.predict_proba(rows) - theirs.predict_proba(rows)).max()
    )
    found["score_samples"] = _relative(ours.score_samples(rows), theirs.score_samples(rows))
    found["aic"] = abs(ours.aic(rows) / theirs.aic(rows) - 1.0)
    found["bic"] = abs(ours.bic(rows) / theirs.bic(rows) - 1.0)
    return found


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number of each component."""
    axes = tuple(range(1, theirs.ndim))
    return float(np.max(np.abs(ours - theirs).max(axis=axes) / np.abs(theirs).max(axis=axes)))


def main() -> None:
    """Print the table."""
    numbers = {"n_iter_": ">", "labels": "d", "largest difference": ".1e"}
    table = Table({"rows": "", "type": "", **numbers, "in": ""})
    for name, case in cases().items():
        for covariance_type in COVARIANCE_TYPES:
            theirs, ours = fitted(case, covariance_type)
            found = differences(case, theirs, ours)
            worst = max(found, key=lambda kind: found[kind])
            passes = f"{ours.n_iter_}" + ("" if ours.n_iter_ == theirs.n_iter_ else "!")
            apart = int((ours.predict(case.rows) != theirs.predict(case.rows)).sum())
            table.row(name, covariance_type, passes, apart, found[worst], worst)


if __name__ == "__main__":
    main()
