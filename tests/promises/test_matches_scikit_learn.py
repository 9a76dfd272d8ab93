"""From the same start: scikit-learn's numbers, and better ones where its own cancel."""

from __future__ import annotations

import warnings

import naive
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from bench.tables import parity
from fastgmm.estimators import GaussianMixture as Ours

CASES = parity.cases()


LONG = ("digits", "digits, 20 principal components")  # 60 of 68 seconds


@pytest.mark.parametrize("covariance_type", parity.COVARIANCE_TYPES)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in CASES]
)
def test_the_same_start_leads_to_the_same_model(name, covariance_type):
    case = CASES[name]
    theirs, ours = parity.fitted(case, covariance_type)
    assert ours.n_iter_ == theirs.n_iter_ == len(ours.lower_bounds_)
    assert ours.converged_ == theirs.converged_
    np.testing.assert_array_equal(ours.predict(case.rows), theirs.predict(case.rows))
    for kind, difference in parity.differences(case, theirs, ours).items():
        assert difference < 1e-6, kind


@pytest.mark.parametrize("covariance_type", parity.COVARIANCE_TYPES)
def test_single_precision_agrees_as_far_as_it_reaches(covariance_type):
    # 1e-3: scikit-learn squares and sums in float32, eps 1.2e-7, over 150 rows and 20 passes
    case = CASES["iris"]._replace(tol=1e-3)
    theirs, ours = parity.fitted(case, covariance_type, np.float32)
    assert ours.means_.dtype == ours.covariances_.dtype == np.float32
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-3)
    np.testing.assert_allclose(ours.weights_, theirs.weights_, rtol=1e-3)


def one_iteration(model, rows, start):
    """Fit by one M-step from a given start."""
    fitted = model(len(start.weights), covariance_type=TYPES[start.structure], max_iter=1, tol=0)
    fitted.set_params(
        reg_covar=0.0,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions(start),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fitted.fit(rows)


TYPES = naive.COVARIANCE_TYPES


def precisions(mixture):
    """Inverses of the covariances, symmetric."""
    covariances = np.asarray(mixture.covariances, dtype=np.float64)
    if mixture.structure in ("spherical", "diagonal"):
        return 1.0 / covariances
    inverses = np.linalg.inv(covariances)
    return (inverses + inverses.swapaxes(-1, -2)) / 2


def error(model, truth):
    """Largest error of a covariance, relative to its largest number; infinite for no model."""
    if model is None:
        return np.inf
    exact = naive.exact(truth.covariances)
    return float(np.max(np.abs(model.covariances_ - exact)) / np.abs(exact).max())


def theirs_or_none(rows, start):
    """Scikit-learn's model, where it makes one."""
    try:
        return one_iteration(Theirs, rows, start)
    except ValueError as refusal:
        if "ill-defined" not in str(refusal):
            raise
        return None


def two_clusters(structure, offset, deviations):
    """Two groups of 500 rows, eight deviations apart, and the mixture that EM starts from."""
    rng = np.random.default_rng(5)
    deviations = np.asarray(deviations)
    centres = offset + np.array([[-4.0], [4.0]]) * deviations
    rows = np.concatenate(
        [rng.normal(centre, deviations, size=(500, len(deviations))) for centre in centres]
    )
    variances = deviations**2
    covariances = {
        "spherical": np.full(2, variances.mean()),
        "diagonal": np.array([variances, variances]),
        "tied": np.diag(variances),
        "full": np.array([np.diag(variances)] * 2),
    }[structure]
    return rows, naive.Mixture(structure, np.array([0.5, 0.5]), centres, covariances)


@pytest.mark.parametrize("structure", naive.STRUCTURES)
@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_an_offset_costs_no_digits(structure, offset):
    rows, start = two_clusters(structure, offset, [1.0, 1.0, 1.0])
    _, truth = naive.em_iteration(rows, None, start, 0.0)
    ours = error(one_iteration(Ours, rows, start), truth)
    # the rows themselves are rounded to 1.5e-8 at 1e8, which the naive twin sees as well
    assert ours < 1e-12
    if structure != "full":
        assert ours < 1e-3 * error(theirs_or_none(rows, start), truth)


@pytest.mark.parametrize("structure", ["diagonal", "tied", "full"])
def test_scales_that_differ_cost_no_digits(structure):
    # variances of 1 and 1e-10: a condition of 1e10, seen beside an offset of 1000
    rows, start = two_clusters(structure, 1e3, [1.0, 1e-5])
    _, truth = naive.em_iteration(rows, None, start, 0.0)
    model = one_iteration(Ours, rows, start)
    small = np.s_[..., 1] if structure == "diagonal" else np.s_[..., 1, 1]

    def small_error(model):
        if model is None:
            return np.inf
        exact = naive.exact(truth.covariances)[small]
        return float(np.max(np.abs(model.covariances_[small] - exact) / exact))

    # a row at 1000 is rounded to 1e-13, 1e-8 of the deviation; the twin sees the same rows
    assert small_error(model) < 1e-8
    if structure != "full":
        assert small_error(model) < 1e-3 * small_error(theirs_or_none(rows, start))
