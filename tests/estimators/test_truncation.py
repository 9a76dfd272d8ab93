"""`truncation` of `GaussianMixture`: fits that leave out what hardly counts end where others do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from fastgmm import BayesianGaussianMixture, GaussianMixture, load, open_source
from fastgmm.estimators import StudentTMixture, partial_fit
from fastgmm.passes import truncated

N_COMPONENTS, N_FEATURES = 80, 12


@pytest.fixture(scope="module")
def rows():
    """Rows of clusters that touch one another."""
    rng = np.random.default_rng(5)
    means = 1.5 * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    labels = rng.integers(N_COMPONENTS, size=9000)
    return means[labels] + rng.uniform(0.5, 1.0, N_FEATURES) * rng.normal(size=(9000, N_FEATURES))


@pytest.fixture(scope="module")
def model(rows):
    """An unfitted mixture with a start that is far from the end."""
    return GaussianMixture(
        N_COMPONENTS,
        covariance_type="diag",
        means_init=rows[:N_COMPONENTS],
        precisions_init=np.tile(1.0 / rows.var(axis=0), (N_COMPONENTS, 1)),
        weights_init=np.full(N_COMPONENTS, 1.0 / N_COMPONENTS),
        truncation="auto",
        acceleration=None,
        tol=1e-5,
    )


@pytest.fixture(scope="module")
def fitted(model, rows):
    """The mixture, fitted."""
    return clone(model).fit(rows)


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
def test_a_fit_ends_where_that_of_all_components_does(model, rows, dtype, monkeypatch):
    monkeypatch.setattr(truncated, "is_cheaper", lambda *_: True)  # in float32, too
    rows = rows.astype(dtype)
    found = clone(model).fit(rows)
    dense = clone(model).set_params(truncation=None).fit(rows)
    assert 0.0 < found.truncated_mass_ < 1e-3
    assert not hasattr(dense, "truncated_mass_")
    assert abs(found.lower_bound_ - dense.lower_bound_) < 0.01
    assert np.mean(found.predict(rows) == dense.predict(rows)) > 0.9999
    assert abs(found.score(rows) - dense.score(rows)) < 0.01
    assert found.means_.dtype == dtype


@pytest.mark.slow  # compiles the pass of full covariances for threads
def test_a_fit_of_full_covariances_ends_there_too(model, rows):
    settings = {"covariance_type": "full", "reg_covar": 0.1, "max_iter": 30, "n_components": 40}
    start = {
        "weights_init": np.full(40, 1.0 / 40),
        "means_init": rows[:40],
        "precisions_init": np.tile(np.linalg.inv(np.cov(rows.T)), (40, 1, 1)),
    }
    model = clone(model).set_params(**settings, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = clone(model).fit(rows)
        dense = clone(model).set_params(truncation=None).fit(rows)
    assert 0.0 < found.truncated_mass_ < 1e-3
    assert abs(found.lower_bound_ - dense.lower_bound_) < 0.01
    assert np.mean(found.predict(rows) == dense.predict(rows)) > 0.999


def test_scores_leave_out_no_more_than_asked_for(fitted, rows):
    dense = clone(fitted).set_params(truncation=None)
    dense._publish(vars(fitted))
    lost = dense.score_samples(rows) - fitted.score_samples(rows)
    assert 0.0 < lost.max() < 1e-3
    assert lost.min() > -1e-9
    assert_array_equal(fitted.predict(rows), dense.predict(rows))
    shares = fitted.predict_proba(rows)
    assert (shares == 0.0).mean() > 0.5
    assert np.abs(shares - dense.predict_proba(rows)).max() < 1e-3
    assert_array_equal(clone(fitted).fit_predict(rows), fitted.predict(rows))


def test_chunks_and_weights_give_the_same_bits(model, rows, fitted):
    chunks = np.array_split(rows, [1, 4000])
    assert_array_equal(clone(model).fit(open_source(chunks)).means_, fitted.means_)
    doubled = clone(model).fit(rows, sample_weight=np.full(len(rows), 2.0))
    assert_array_equal(doubled.means_, fitted.means_)
    assert doubled.truncated_mass_ == fitted.truncated_mass_


def test_a_file_keeps_it(fitted, rows, tmp_path):
    fitted.save(tmp_path / "m.npz")
    found = load(tmp_path / "m.npz")
    assert found.truncation == "auto"
    assert found.truncated_mass_ == fitted.truncated_mass_
    assert_array_equal(found.score_samples(rows), fitted.score_samples(rows))


def test_a_fit_goes_on_from_its_checkpoint(model, rows, fitted, tmp_path):
    class StopError(Exception):
        """Asked for by a test."""

    def stop(*_):
        raise StopError

    from fastgmm.estimators import climb

    with pytest.MonkeyPatch.context() as patch:
        n_passes, plain = [], climb.Climb.statistics

        def counted(self, candidates):
            n_passes.append(1)
            return stop() if len(n_passes) > 3 else plain(self, candidates)

        patch.setattr(climb.Climb, "statistics", counted)
        with pytest.raises(StopError):
            clone(model).fit(rows, checkpoint=tmp_path / "c.ckpt")
    found = clone(model).fit(rows, checkpoint=tmp_path / "c.ckpt")
    assert_array_equal(found.means_, fitted.means_)
    assert found.truncated_mass_ == fitted.truncated_mass_
    again = clone(model).fit(rows, checkpoint=tmp_path / "c.ckpt")  # which has ended
    assert again.truncated_mass_ == fitted.truncated_mass_


def test_few_components_are_fitted_as_without_it(rows):
    settings = {"n_components": 3, "covariance_type": "spherical", "random_state": 0}
    found = GaussianMixture(**settings, truncation=0.01).fit(rows)
    dense = GaussianMixture(**settings).fit(rows)
    assert_array_equal(found.means_, dense.means_)
    assert found.truncated_mass_ == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"covariance_type": "tied"}, "has neither"),
        ({"covariance_type": "factors", "n_factors": 2}, "has neither"),
        ({"missing": "em"}, "missing='em'"),
        ({"noise": True}, "noise=True"),
    ],
)
def test_what_does_not_go_together_is_said(fitted, rows, settings, said):
    model = clone(fitted).set_params(n_components=2, **settings)
    model.set_params(means_init=None, precisions_init=None, weights_init=None)
    with pytest.raises(ValueError, match=r"truncation='auto' is for passes over") as error:
        model.fit(rows)
    assert said in str(error.value)


def test_it_is_for_fits_without_labels(model, rows):
    with pytest.raises(ValueError, match="labels give some"):
        clone(model).fit(rows, labels=np.zeros(len(rows), int))


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_steps_of_batches_end_where_those_of_all_components_do(rows, covariance_type, monkeypatch):
    """From a model of the first rows on; batches are cut into steps that a truncation is for."""
    monkeypatch.setattr(truncated, "is_cheaper", lambda *_: True)
    monkeypatch.setattr(partial_fit, "ENOUGH_ROWS", 3)
    settings = {"covariance_type": covariance_type, "init_params": "k-means++", "random_state": 0}
    begun = GaussianMixture(N_COMPONENTS, max_iter=2, reg_covar=0.1, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few passes, of too few rows
        begun.fit(rows[:3000])
    dense, found = clone(begun), clone(begun).set_params(truncation="auto")
    for model in (dense, found):
        model._publish(vars(begun))
        for begin in range(3000, 9000, 3000):
            model.partial_fit(rows[begin : begin + 3000])
    assert 0.0 < found.truncated_mass_ < 1e-3
    assert not hasattr(dense, "truncated_mass_")
    assert found.n_rows_ == dense.n_rows_ == 9000
    assert np.abs(np.subtract(found.lower_bounds_, dense.lower_bounds_)).max() < 1e-3
    assert np.mean(found.predict(rows) == dense.predict(rows)) > 0.999
    assert np.abs(found.means_ - dense.means_).max() < 0.01


def test_the_first_batch_of_a_truncated_mixture_begins_it(model, rows):
    found = clone(model).partial_fit(rows)
    whole = clone(model).fit(rows)
    assert found.truncated_mass_ == whole.truncated_mass_
    assert_array_equal(found.means_, whole.means_)


@pytest.mark.parametrize("wrong", [0, -1.0, 2.0, "aut", True])
def test_other_values_are_refused(rows, wrong):
    with pytest.raises(InvalidParameterError, match="truncation"):
        GaussianMixture(2, covariance_type="diag", truncation=wrong).fit(rows)


def test_other_mixtures_do_not_have_it():
    for kind in (BayesianGaussianMixture, StudentTMixture):
        assert "truncation" not in kind().get_params()
