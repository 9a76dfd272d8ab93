"""AutoGaussianMixture: an estimator that delegates to the mixture it has chosen."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm import AutoGaussianMixture, select
from fastgmm.estimators.fitted_attributes import FITTED


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)[0]


@pytest.fixture(scope="module")
def fitted(blobs):
    return AutoGaussianMixture(range(1, 7), random_state=0).fit(blobs)


# some checks give the estimator so few rows, or so few passes, that EM cannot converge
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# of so few rows, the criterion chooses components that hold one or two
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@parametrize_with_checks([AutoGaussianMixture(n_components=(1, 2))])
def test_estimator_checks(estimator, check):
    check(estimator)


def test_it_chooses_as_select_does(blobs, fitted):
    table = select(blobs, range(1, 7), random_state=0).table
    assert_array_equal(fitted.selection_.table["bic"], table["bic"])
    assert fitted.n_components_ == 4
    assert fitted.covariance_type_ == fitted.best_estimator_.covariance_type


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"]
)
def test_it_answers_as_the_mixture_it_has_chosen(blobs, fitted, method):
    expected = getattr(fitted.best_estimator_, method)(blobs)
    assert_array_equal(getattr(fitted, method)(blobs), expected)


def test_it_samples_as_the_mixture_it_has_chosen(fitted):
    for own, other in zip(fitted.sample(50), fitted.best_estimator_.sample(50), strict=True):
        assert_array_equal(own, other)


def test_its_attributes_are_those_of_the_mixture(fitted):
    for name in FITTED:
        if hasattr(fitted.best_estimator_, name):
            assert_array_equal(getattr(fitted, name), getattr(fitted.best_estimator_, name))


def test_it_works_in_a_pipeline(blobs):
    pipeline = make_pipeline(
        StandardScaler(), AutoGaussianMixture(range(1, 7), covariance_type="full", random_state=0)
    )
    assert len(np.unique(pipeline.fit(blobs).predict(blobs))) == 4


def test_it_is_searched_by_cross_validation(blobs):
    pipeline = make_pipeline(StandardScaler(), AutoGaussianMixture(range(1, 4), random_state=0))
    types = ["spherical", "tied"]
    search = GridSearchCV(pipeline, {"autogaussianmixture__covariance_type": types}, cv=2)
    found = search.fit(blobs).cv_results_["mean_test_score"]
    first = pipeline.set_params(autogaussianmixture__covariance_type=types[0])
    assert cross_val_score(first, blobs, cv=2).mean() == found[0]
    assert search.best_params_ == {
        "autogaussianmixture__covariance_type": types[int(found.argmax())]
    }


def test_a_range_survives_a_clone():
    model = clone(AutoGaussianMixture(range(2, 9), covariance_type=["full", "diag"]))
    assert model.n_components == range(2, 9)
    assert model.covariance_type == ["full", "diag"]


def test_it_is_pickled_and_copied(blobs, fitted):
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert_array_equal(again.predict_proba(blobs), fitted.predict_proba(blobs))
        assert again.get_params() == fitted.get_params()
        assert_array_equal(again.selection_.table["bic"], fitted.selection_.table["bic"])


def test_a_fit_that_fails_leaves_the_model_as_it_was(blobs, fitted):
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(np.full((30, 2), np.nan))
    assert vars(fitted) == before


def test_rows_that_come_from_a_fit_of_the_same_object_are_refused(blobs, fitted):
    model = copy.deepcopy(fitted)
    before = dict(vars(model))

    def chunks():
        AutoGaussianMixture(2, covariance_type="tied", random_state=0).fit(blobs)  # another one
        model.fit(blobs)
        yield blobs

    with pytest.raises(RuntimeError, match="this AutoGaussianMixture is being fitted: the code"):
        model.fit(chunks)
    assert vars(model) == before
    assert model.fit(blobs).n_components_ == fitted.n_components_


def test_select_may_be_called_by_the_rows_of_another(blobs):
    def chunks():
        yield blobs - select(blobs, 1, "full", random_state=0).best_estimator_.means_

    assert select(chunks, 1, "full", random_state=0).best_estimator_.n_rows_ == len(blobs)


def test_callbacks_see_the_best_so_far_at_every_pass(blobs):
    class Passes:
        def __init__(self):
            self.seen = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if fitted_estimator is not None and context.parent is not None:
                self.seen.append(fitted_estimator.predict(blobs).max() + 1)

    watcher = Passes()
    model = AutoGaussianMixture(range(1, 5), tol=1e-6, random_state=0).set_callbacks(watcher)
    model.fit(blobs)
    assert len(watcher.seen) == model.selection_.table["n_passes"].max()
    assert watcher.seen[-1] == 4


def test_an_interrupted_search_keeps_its_best_mixture_so_far(blobs):
    n_passes = 0

    def chunks():
        nonlocal n_passes
        n_passes += 1
        yield blobs[:100]
        if n_passes == 5:
            raise KeyboardInterrupt
        yield blobs[100:]

    model = AutoGaussianMixture(range(1, 4), tol=0.0, random_state=0)
    with pytest.raises(KeyboardInterrupt) as raised:
        model.fit(chunks)
    assert not hasattr(model, "means_")
    kept = raised.value.model
    assert kept.n_components_ == len(kept.means_)
    assert len(kept.predict(blobs)) == len(blobs)
