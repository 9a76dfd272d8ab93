"""How many digits of densities, posteriors and an EM step are right: fastgmm beside scikit-learn.

Run it as `python -m bench.tables.digits [--markdown]`; `tests/promises/test_digits.py` holds its
cases. The truth is the definition, computed with 50 decimal digits (mpmath) from the very float64
or float32 numbers that both are given. `careful` is the definition in the precision of the rows,
centred before anything is squared, by one triangular solve: what a careful author would write.

Digits are -log10 of the largest error: of log densities relative to the larger of 1 and the value;
of posteriors as they are; of an EM step's means and covariances relative to the largest of each
component, and the worst of weights, means and covariances is told.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy.linalg import solve_triangular
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from bench.tools.table import Table
from fastgmm import GaussianMixture as Ours
from fastgmm import open_source, passes
from fastgmm.covariance import family
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import with_weights

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")
# conditions and offsets; float32 has steps of 8 at 1e8, and no digit of a variance of 1 is left
RANGES = {
    "float64": ((1.0, 1e5, 1e10), (0.0, 1e4, 1e8)),
    "float32": ((1.0, 1e4), (0.0, 1e2, 1e4)),
}
QUANTITIES = ("score_samples", "predict_proba", "EM step")
MOST = 16.0  # digits: an error of zero


class Case(NamedTuple):
    """A mixture, and rows about it."""

    kind: str
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray
    rows: np.ndarray  # (n, d) float32 or float64
    row_weights: np.ndarray  # (n,)


def make(
    kind: str,
    d: int,
    condition: float,
    offset: float,
    dtype: str,
    tiny: str = "",
    n_rows: int | None = None,
) -> Case:
    """Make a case of two components; `tiny` "components" or "rows" have weights of 1e-300."""
    rng = np.random.default_rng([d, int(np.log10(condition)), int(offset > 1e6)])
    n_components, n_rows = 2, n_rows or 2 * d + 6
    eigenvalues = np.geomspace(1.0, 1.0 / condition, d) if d > 1 else np.array([1.0])
    matrices = []
    for _ in range(n_components):
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        matrix = (basis * eigenvalues) @ basis.T
        matrices.append((matrix + matrix.T) / 2)
    covariances = {
        "full": lambda: np.stack(matrices),
        "tied": lambda: matrices[0],
        "diag": lambda: np.stack([rng.permutation(eigenvalues) for _ in range(n_components)]),
        "spherical": lambda: eigenvalues[[0, -1]],
    }[kind]()
    labels = np.arange(n_rows) % n_components
    factors = [_root(each) for each in _written_out(kind, covariances, d)]
    # near in the metric of both: posteriors between 0 and 1 are the hard ones
    nearness = 0.7 * min(1.0, 4.0 / np.sqrt(d))
    apart = min(factors, key=np.linalg.norm) @ rng.normal(size=d) * nearness
    means = offset + rng.normal(size=d) + np.stack([apart, -apart])
    steps = np.stack([factors[k] @ rng.normal(size=d) for k in labels])
    rows = (means[labels] + 1.1 * steps).astype(dtype)
    weights, row_weights = np.array([0.3, 0.7]), np.ones(n_rows)
    if tiny == "components":
        weights = np.array([1e-300, 1.0])
    if tiny == "rows":
        row_weights[::3] = 10.0 ** -rng.choice([1.0, 100.0, 300.0], size=len(row_weights[::3]))
    return Case(kind, weights, means, covariances, rows, row_weights)


def _written_out(kind: str, covariances: np.ndarray, d: int) -> Any:
    identity = np.eye(d)
    return {
        "full": lambda: covariances,
        "tied": lambda: [covariances] * 2,
        "diag": lambda: covariances[:, :, None] * identity,
        "spherical": lambda: covariances[:, None, None] * identity,
    }[kind]()


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0.0))


class Found(NamedTuple):
    """What one computation makes of a case."""

    log_densities: np.ndarray  # (n,)
    posteriors: np.ndarray  # (n, K)
    weights: np.ndarray  # of the EM step
    means: np.ndarray
    covariances: np.ndarray


# The truth: 50 digits


def _exact(values: Any) -> np.ndarray:
    """Numbers of any precision as mpmath's, which round none of them."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([mpf(float(x)) for x in array.ravel()], dtype=object).reshape(array.shape)


def _exact_cholesky(matrix: np.ndarray) -> np.ndarray:
    lower = np.full(matrix.shape, mpf(0), dtype=object)
    for j in range(len(matrix)):
        lower[j, j] = mp.sqrt(matrix[j, j] - lower[j, :j] @ lower[j, :j])
        if j + 1 < len(matrix):
            rest = matrix[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]
            lower[j + 1 :, j] = rest / lower[j, j]
    return lower


def truth(case: Case, with_step: bool = True) -> Found:
    """The definition, with 50 digits."""
    with mp.workdps(50):
        return _truth(case, with_step)


def _truth(case: Case, with_step: bool) -> Found:
    rows, means = _exact(case.rows), _exact(case.means)
    n, d = rows.shape
    covariances, terms = _exact(case.covariances), np.empty((n, len(means)), dtype=object)
    for k, mean in enumerate(means):
        centred = (rows - mean).T.copy()
        if case.kind in ("full", "tied"):
            lower = _exact_cholesky(covariances if case.kind == "tied" else covariances[k])
            for j in range(d):
                centred[j] = (centred[j] - lower[j, :j] @ centred[:j]) / lower[j, j]
            squares, log_det = (centred**2).sum(axis=0), 2 * sum(map(mp.log, np.diag(lower)))
        else:
            variances = covariances[k] if case.kind == "diag" else np.full(d, covariances[k])
            squares = (centred**2 / variances[:, None]).sum(axis=0)
            log_det = sum(map(mp.log, variances))
        log_weight = mp.log(mpf(float(case.weights[k])))
        terms[:, k] = log_weight - (squares + log_det + d * mp.log(2 * mp.pi)) / 2
    exp, log = np.frompyfunc(mp.exp, 1, 1), np.frompyfunc(mp.log, 1, 1)
    shares = exp(terms - terms.max(axis=1)[:, None])
    log_densities = terms.max(axis=1) + log(shares.sum(axis=1))
    shares = shares / shares.sum(axis=1)[:, None]
    if not with_step:
        return Found(log_densities, shares, None, None, None)
    weighted = shares * _exact(case.row_weights)[:, None]
    return Found(log_densities, shares, *_step(case.kind, rows, weighted))


def _step(kind: str, rows: Any, weighted: Any) -> tuple[Any, Any, Any]:
    """The M-step by its definition, in the arithmetic of what it is given."""
    weight = weighted.sum(axis=0)
    means = (weighted.T @ rows) / weight[:, None]
    scatters = []
    for k, mean in enumerate(means):
        centred = rows - mean
        if kind in ("full", "tied"):
            scatters.append((centred.T * weighted[:, k]) @ centred)
        else:
            scatters.append(weighted[:, k] @ centred**2)
    match kind:
        case "full":
            covariances = np.stack(scatters) / weight[:, None, None]
        case "tied":
            covariances = sum(scatters) / weight.sum()
        case "diag":
            covariances = np.stack(scatters) / weight[:, None]
        case _:
            covariances = np.stack(scatters).sum(axis=1) / weight / rows.shape[1]
    return weight / weight.sum(), means, covariances


# The contestants


def careful(case: Case) -> Found:
    """The definition in the precision of the rows; differences and sums in float64."""
    dtype = case.rows.dtype
    rows, d = case.rows.astype(np.float64), case.rows.shape[1]
    terms = np.empty((len(rows), len(case.means)))
    matrices = _written_out(case.kind, case.covariances, d)
    for k, (mean, matrix) in enumerate(zip(case.means, matrices, strict=True)):
        lower = np.linalg.cholesky(matrix)
        centred = (rows - mean).astype(dtype)
        z = solve_triangular(lower.astype(dtype), centred.T, lower=True).astype(np.float64)
        log_det = 2 * np.log(np.diag(lower)).sum()
        terms[:, k] = np.log(case.weights[k])
        terms[:, k] -= ((z**2).sum(axis=0) + log_det + d * np.log(2 * np.pi)) / 2
    terms = terms.astype(dtype).astype(np.float64)
    highest = terms.max(axis=1)
    mass = np.exp(terms - highest[:, None])
    log_densities = highest + np.log(mass.sum(axis=1))
    shares = mass / mass.sum(axis=1)[:, None]
    origin = rows.mean(axis=0)
    weighted = shares * case.row_weights[:, None]
    weights, means, covariances = _step(case.kind, rows - origin, weighted)
    return Found(log_densities, shares, weights, means + origin, covariances)


def ours(case: Case, with_step: bool = True) -> Found:
    """What fastgmm finds."""
    model = Ours.from_parameters(
        case.weights, case.means, case.covariances, covariance_type=case.kind
    )
    scores = model.score_samples(case.rows), model.predict_proba(case.rows)
    if not with_step:
        return Found(*scores, None, None, None)
    kind = family(case.kind)
    parameters = Parameters.from_covariances(
        kind.structure, case.weights, case.means, case.covariances
    )
    source = with_weights(open_source(case.rows), case.row_weights)
    (statistics,) = passes.statistics(source, [parameters])
    covariances = kind.estimate(statistics, statistics.means, 0.0)
    return Found(
        *scores, statistics.weight / statistics.weight.sum(), statistics.means, covariances
    )


def theirs(case: Case, with_step: bool = True) -> Found | None:
    """What scikit-learn finds; None where it finds a covariance that is none."""
    model = Theirs(len(case.weights), covariance_type=case.kind, reg_covar=0.0)
    model.weights_, model.means_, model.covariances_ = case.weights, case.means, case.covariances
    model.precisions_cholesky_ = _compute_precision_cholesky(case.covariances, case.kind)
    scores = model.score_samples(case.rows), model.predict_proba(case.rows)
    if not with_step:
        return Found(*scores, None, None, None)
    try:
        model._m_step(case.rows, model._e_step(case.rows)[1])
    except ValueError:
        return None
    return Found(*scores, model.weights_, model.means_, model.covariances_)


def digits(found: Found, exact: Found) -> dict[str, float]:
    """Right digits of each quantity."""
    scale = np.maximum(1.0, np.abs(exact.log_densities.astype(np.float64)))
    told = {
        "score_samples": _digits(_error(found.log_densities, exact.log_densities) / scale),
        "predict_proba": _digits(_error(found.posteriors, exact.posteriors)),
    }
    if found.weights is not None and exact.weights is not None:
        errors = [_error(found.weights, exact.weights)]
        for one, other in ((found.means, exact.means), (found.covariances, exact.covariances)):
            size = np.abs(other.astype(np.float64))
            largest = size.reshape(len(size), -1).max(axis=1) if len(size) == 2 else size.max()
            error = _error(one, other)
            errors.append(error.reshape(len(error), -1).max(axis=-1) / largest)
        told["EM step"] = min(map(_digits, errors))
    return told


def _error(found: Any, exact: Any) -> np.ndarray:
    """Absolute errors, taken before anything is rounded."""
    return np.abs(_exact(found) - exact).astype(np.float64)


def _digits(errors: np.ndarray) -> float:
    worst = float(np.max(errors))
    if np.isnan(worst):
        return 0.0
    return MOST if worst == 0.0 else float(np.clip(-np.log10(worst), 0.0, MOST)) + 0.0


def table(dimensions: Iterable[int], dtypes: Iterable[str]) -> list[tuple[Any, ...]]:
    """The worst over types and weights, for each number of features, condition and offset."""
    cases = [
        (dtype, d, condition, offset)
        for dtype in dtypes
        for d, condition, offset in itertools.product(dimensions, *RANGES[dtype])
        if d > 1 or condition == 1.0
    ]
    return [(*case, *_line(*case)) for case in cases]


def _line(dtype: str, d: int, condition: float, offset: float) -> list[float]:
    """Digits of careful, ours and theirs, for each quantity."""
    worst: dict[Any, dict[str, float]] = {careful: {}, ours: {}, theirs: {}}
    for kind in COVARIANCE_TYPES:
        case = make(kind, d, condition, offset, dtype)
        exact = truth(case)
        for who, known in worst.items():
            with np.errstate(all="ignore"):
                found = who(case)
            right = dict.fromkeys(QUANTITIES, 0.0) if found is None else digits(found, exact)
            for name, count in right.items():
                known[name] = min(known.get(name, MOST), count)
    return [worst[who][name] for name in QUANTITIES for who in (careful, ours, theirs)]


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[1, 4, 16, 64])
    options = parser.parse_args()
    numbers = {"features": "d", "condition": ".0e", "offset": ".0e"}
    to = Table({"rows": "", **numbers, **dict.fromkeys(QUANTITIES, ">")})
    for dtype, d, condition, offset, *counts in table(options.features, DTYPES):
        cells = [" / ".join(f"{x:.1f}" for x in counts[i : i + 3]) for i in range(0, 9, 3)]
        to.row(dtype, d, condition, offset, *cells)


if __name__ == "__main__":
    main()
