"""Bayesian mixtures of Dask collections: those of the same rows in memory."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import BayesianGaussianMixture, select

TYPES = ("full", "tied", "diag", "spherical")
PRIORS = ("dirichlet_process", "dirichlet_distribution")
ESTIMATED = (
    "weights_",
    "means_",
    "covariances_",
    "lower_bound_",
    "weight_concentration_",
    "mean_precision_",
    "degrees_of_freedom_",
)


@pytest.fixture(autouse=True, params=["sync", "threads"])
def scheduler(request):
    """Both schedulers of one process."""
    with dask.config.set(scheduler=request.param):
        yield


@pytest.fixture
def rows(rng):
    """Two clusters, shuffled."""
    found = np.concatenate([rng.normal(size=(500, 3)), rng.normal(6.0, 1.0, size=(300, 3))])
    return found[rng.permutation(800)]


def cut(array):
    return da.from_array(array, chunks=(90, 3)[: array.ndim])


def model_of(**settings):
    return BayesianGaussianMixture(**{"n_components": 5, "random_state": 0} | settings)


def assert_same_fit(found, expected):
    # sums of 800 rows in another order: sqrt(800) eps a pass, some passes, as for GaussianMixture
    for name in ESTIMATED:
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10)
    for name in ("n_rows_", "n_iter_", "n_active_", "converged_"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_is_that_of_the_same_rows_in_memory(rows, covariance_type, prior):
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    found = model_of(**settings).fit(cut(rows))
    assert_same_fit(found, model_of(**settings).fit(rows))
    assert found.n_active_ == 2


def test_weights_and_batches_are_those_of_the_rows_in_memory(rows):
    weights = np.arange(800.0)
    fits = [
        model_of().fit(of(rows), sample_weight=of(weights)).partial_fit(of(rows[:200]))
        for of in (cut, lambda array: array)
    ]
    for name in ESTIMATED:
        assert_allclose(getattr(fits[0], name), getattr(fits[1], name), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("predictive", [False, True])
def test_predictions_are_lazy_and_cut_as_the_rows_are(rows, predictive):
    array, model = cut(rows), model_of().fit(rows)
    for method in (model.predict, model.predict_proba, model.score_samples):
        found = method(array, predictive=predictive)
        expected = method(rows, predictive=predictive)
        assert isinstance(found, da.Array)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.chunks[0] == array.chunks[0]
        assert_array_equal(found, expected)
    found, expected = (model.score(each, predictive=predictive) for each in (array, rows))
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_fit_that_fails_leaves_its_last_iteration(rows):
    n_calls = 0

    def failing(block):
        nonlocal n_calls
        n_calls += len(block) > 0  # not the empty one that tells the type
        if n_calls > 9 * 9:
            raise OSError("the disk is gone")
        return block

    array = cut(rows).map_blocks(failing, meta=np.empty((0, 3)))
    model = model_of().fit(rows[:100])
    before = model.means_
    with pytest.raises(OSError, match="the disk is gone") as failed:
        model.fit(array)
    assert model.means_ is before
    partial = failed.value.model
    assert isinstance(partial, BayesianGaussianMixture)
    assert partial.n_iter_ >= 1
    assert not partial.converged_
    assert np.diff(partial.lower_bounds_, prepend=-np.inf).min() > -1e-12
    assert partial.predict(rows).shape == (800,)


def test_the_evidence_chooses_as_in_memory(rows):
    found, expected = (
        select(each, [1, 2, 3], "full", criterion="evidence", random_state=0)
        for each in (cut(rows), rows)
    )
    assert found.best_estimator_.n_components == expected.best_estimator_.n_components == 2
    assert_allclose(found.table["evidence"], expected.table["evidence"], rtol=1e-9)
