"""A fit is whole or it has not been: whatever stops it, the object predicts as before."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from fastgmm.errors import DataError, DegenerateCovarianceError, SourceChangedError
from fastgmm.estimators import GaussianMixture


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(4.0, 1.0, size=(60, 2))])


class Chunks:
    """Chunks of rows, of which one pass goes wrong."""

    def __init__(self, rows, bad_pass, fault):
        self.rows, self.bad_pass, self.fault, self.passes = rows, bad_pass, fault, -1

    def __call__(self):
        """Start a pass."""
        self.passes += 1
        yield self.rows[:50]
        if self.passes == self.bad_pass:
            yield from self.fault(self.rows[50:])
        else:
            yield self.rows[50:]


def raise_this(error):
    """Fail while the rows are read."""

    def fault(rest):
        raise error
        yield rest

    return fault


def nan_at_the_end(rest):
    """Give one bad row."""
    rest = rest.copy()
    rest[-1, 1] = np.nan
    yield rest


def fewer_rows(rest):
    """Give fewer rows than before."""
    yield rest[:-1]


FAULTS = {
    "interrupted": (raise_this(KeyboardInterrupt()), KeyboardInterrupt),
    "unreadable": (raise_this(OSError("the disk is gone")), OSError),
    "a bad row": (nan_at_the_end, DataError),
    "fewer rows": (fewer_rows, SourceChangedError),
}
# pass 0 is that of the start; in the others EM runs
CASES = [(fault, bad_pass) for fault in FAULTS for bad_pass in (0, 1, 3)]


def settled():
    """A model that takes many passes."""
    return GaussianMixture(2, tol=0.0, max_iter=10, random_state=0)


@pytest.mark.parametrize(("fault", "bad_pass"), CASES)
@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_a_fitted_model_predicts_as_before(rows, fault, bad_pass, method):
    disturb, expected = FAULTS[fault]
    if fault == "fewer rows" and bad_pass == 0:
        bad_pass = 2  # in the first pass nobody can know
    model = settled()
    with pytest.warns(ConvergenceWarning):
        model.fit(rows)
    before, score = dict(vars(model)), model.score_samples(rows)
    wide = np.column_stack([rows, rows])  # of another width, too
    with pytest.raises(expected):
        getattr(model, method)(Chunks(wide, bad_pass, disturb))
    assert vars(model) == before
    assert model.n_features_in_ == 2
    assert_array_equal(model.score_samples(rows), score)


@pytest.mark.parametrize(("fault", "bad_pass"), CASES)
def test_a_new_model_says_that_it_is_not_fitted(rows, fault, bad_pass):
    disturb, expected = FAULTS[fault]
    model = settled()
    before = dict(vars(model))
    with pytest.raises(expected):
        model.fit(Chunks(rows, max(bad_pass, 1), disturb))
    assert vars(model) == before
    with pytest.raises(NotFittedError):
        model.predict(rows)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_a_collapse_changes_nothing(rows):
    model = GaussianMixture(2, random_state=0).fit(rows)
    before = dict(vars(model))
    collapsed = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    model.reg_covar = 0.0
    with pytest.raises(DegenerateCovarianceError):
        model.fit(collapsed)
    assert vars(model) == before | {"reg_covar": 0.0}


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_warning_made_an_error_changes_nothing(rows):
    model = GaussianMixture(2, random_state=0).fit(rows)
    before = dict(vars(model))
    model.set_params(tol=0.0, max_iter=2)
    with pytest.raises(ConvergenceWarning):
        model.fit(rows[:50])
    assert vars(model) == before | {"tol": 0.0, "max_iter": 2}


def test_an_interrupted_fit_can_be_taken_up_again(rows):
    model = settled()
    with pytest.raises(KeyboardInterrupt):
        model.fit(Chunks(rows, 4, raise_this(KeyboardInterrupt())))
    fresh = settled()
    with pytest.warns(ConvergenceWarning):
        model.fit(rows)
    with pytest.warns(ConvergenceWarning):
        fresh.fit(rows)
    assert_array_equal(model.means_, fresh.means_)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_an_error_keeps_the_last_finished_iteration(rows, fault, method):
    disturb, expected = FAULTS[fault]
    chunks = Chunks(rows, 4, disturb)  # pass 0 is that of the start
    with pytest.raises(expected) as raised:
        getattr(settled(), method)(chunks)
    three = settled().set_params(max_iter=3)
    with pytest.warns(ConvergenceWarning):
        three.fit(rows)
    kept = raised.value.model
    assert (kept.n_iter_, kept.converged_, kept.n_rows_) == (3, False, 120)
    assert_array_equal(kept.covariances_, three.covariances_)
    assert any("'model'" in note for note in raised.value.__notes__)
    kept.set_params(warm_start=True, max_iter=7)
    ten = settled()
    with pytest.warns(ConvergenceWarning):
        kept.fit(rows)
    with pytest.warns(ConvergenceWarning):
        ten.fit(rows)
    assert_array_equal(kept.means_, ten.means_)


def test_an_error_before_the_first_iteration_keeps_nothing(rows):
    with pytest.raises(OSError, match="the disk is gone") as raised:
        settled().fit(Chunks(rows, 1, raise_this(OSError("the disk is gone"))))
    assert not hasattr(raised.value, "model")


def test_a_refit_without_names_forgets_the_old_names(rows):
    model = GaussianMixture(2, random_state=0).fit(pandas.DataFrame(rows, columns=["a", "b"]))
    assert list(model.feature_names_in_) == ["a", "b"]
    model.fit(rows)
    assert not hasattr(model, "feature_names_in_")


def test_fit_does_not_change_what_it_was_given(rows, rng):
    start = {
        "weights_init": np.array([0.5, 0.5]),
        "means_init": rows[:2].tolist(),
        "precisions_init": np.array([np.eye(2)] * 2),
    }
    kept = {name: np.array(value) for name, value in start.items()}
    weights = rng.random(len(rows))
    copies = rows.copy(), weights.copy()
    model = GaussianMixture(2, **start).fit(rows, sample_weight=weights)
    for name, value in start.items():
        assert getattr(model, name) is value
        assert_array_equal(value, kept[name])
    assert_array_equal(rows, copies[0])
    assert_array_equal(weights, copies[1])


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_rows_that_come_from_a_fit_of_the_same_object_are_refused(rows, method):
    model = settled()

    def chunks():
        model.fit(rows)
        yield rows

    with pytest.raises(RuntimeError, match="is being fitted: the code that yields its rows"):
        getattr(model, method)(chunks)
    with pytest.warns(ConvergenceWarning):
        model.fit(rows)


def test_rows_may_come_from_a_fit_of_another_object(rows):
    def chunks():
        yield rows - GaussianMixture(1).fit(rows).means_

    assert GaussianMixture(2, random_state=0).fit(chunks).n_rows_ == 120
