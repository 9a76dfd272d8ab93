"""fixed={...}: what stays does so to the last bit in every way to fit; what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastgmm import ConjugatePrior, GaussianMixture, load, open_source
from fastgmm.covariance import FAMILIES

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [4.0, 4.2], [0.0, 5.0]])
PRECISIONS = np.array([[[1.0, 0.2], [0.2, 1.5]], np.eye(2), 2.0 * np.eye(2)])
GIVEN = {"weights_init": WEIGHTS, "means_init": MEANS, "precisions_init": PRECISIONS}
FIXED = {"weights": [2], "means": [0, 2], "covariances": [1]}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    parts = [
        rng.normal(0, 1, (400, 2)),
        rng.normal(4, 1, (200, 2)),
        rng.normal([0, 6], 0.5, (80, 2)),
    ]
    return rng.permutation(np.concatenate(parts))


def model_of(**settings):
    return GaussianMixture(3, **(GIVEN | {"fixed": FIXED} | settings))


def assert_stays(model, dtype=np.float64):
    covariance = np.linalg.inv(PRECISIONS[1])
    assert model.weights_[2] == dtype(WEIGHTS[2])
    assert_array_equal(model.means_[[0, 2]], MEANS[[0, 2]].astype(dtype))
    np.testing.assert_allclose(
        model.covariances_[1], covariance, rtol=1e-6 if dtype == np.float32 else 1e-14
    )
    assert model.weights_.sum() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(model.means_[1] - MEANS[1]).max() > 0.01  # and the others do move


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"acceleration": "squarem", "tol": 1e-10},
        {"prior": 20.0},
        {"prior": ConjugatePrior(mean_precision=5.0, weight_concentration=3.0)},
        {"reg_covar": 1e-3, "reg_covar_relative": True},
        {"n_init": 3},
    ],
    ids=str,
)
def test_what_is_fixed_stays(rows, settings):
    assert_stays(model_of(**settings).fit(rows))


def test_it_stays_for_weights_streams_and_float32(rows):
    weights = np.linspace(0.0, 2.0, len(rows))
    assert_stays(model_of().fit(rows, sample_weight=weights))
    assert_stays(model_of().fit(rows.astype(np.float32)), np.float32)
    streamed = model_of().fit(open_source([rows[:100], rows[100:]]))
    assert_array_equal(streamed.means_, model_of().fit(rows).means_)


def test_it_stays_on_a_dask_array(rows):
    dask_array = pytest.importorskip("dask.array")
    assert_stays(model_of().fit(dask_array.from_array(rows, chunks=(100, 2))))


def test_it_stays_as_rows_arrive(rows):
    model = model_of()
    for part in np.array_split(rows, 20):
        model.partial_fit(part)
    assert_stays(model)
    model.fit(rows)
    assert_stays(model.partial_fit(rows + 0.1))


def test_a_mixture_made_from_parameters_says_what_stays(rows):
    covariances = np.linalg.inv(PRECISIONS)
    model = GaussianMixture.from_parameters(WEIGHTS, MEANS, covariances)
    model.set_params(fixed=FIXED)
    assert_stays(model.partial_fit(rows))
    again = GaussianMixture.from_parameters(WEIGHTS, MEANS, covariances)
    assert_stays(again.set_params(fixed=FIXED, warm_start=True).fit(rows))


def test_a_warm_start_keeps_what_the_last_fit_found(rows):
    model = GaussianMixture(3, random_state=0, warm_start=True).fit(rows)
    before = model.means_.copy()
    model.set_params(fixed={"means": "all"}).fit(rows + 0.2)
    assert_array_equal(model.means_, before)


def test_everything_fixed_scores_the_given_mixture(rows):
    fixed = {"weights": True, "means": "all", "covariances": "all"}
    model = model_of(fixed=fixed).fit(rows)
    given = GaussianMixture.from_parameters(WEIGHTS, MEANS, np.linalg.inv(PRECISIONS))
    assert_array_equal(model.means_, MEANS)
    assert model.lower_bound_ == pytest.approx(given.score(rows), rel=1e-12)
    assert model.aic(rows) == pytest.approx(-2.0 * len(rows) * given.score(rows), rel=1e-12)


def test_criteria_count_what_is_free(rows):
    model, whole = model_of().fit(rows), 17
    expected = -2.0 * len(rows) * model.score(rows) + np.log(len(rows)) * (whole - 1 - 4 - 3)
    assert model.bic(rows) == pytest.approx(expected, rel=1e-12)


def test_it_is_saved_copied_and_continued(rows, tmp_path):
    model = model_of(fixed={"means": np.array([0, 2]), "weights": range(1)}).fit(rows)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.bic(rows) == model.bic(rows)
    assert again.get_params()["fixed"]["means"] == [0, 2]
    assert_array_equal(again.partial_fit(rows).means_[[0, 2]], MEANS[[0, 2]])
    assert_array_equal(clone(model).fit(rows).means_, model.means_)
    path = tmp_path / "run.ckpt"
    model_of(max_iter=1000).fit(rows, checkpoint=path)
    assert_array_equal(model_of().fit(rows, checkpoint=path).means_, model_of().fit(rows).means_)
    with pytest.raises(ValueError, match="fixed was"):
        model_of(fixed={"means": [0]}).fit(rows, checkpoint=path)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        ("weights", "weights_init"),
        ("means", "means_init"),
        ("covariances", "precisions_init"),
    ],
)
def test_values_that_are_missing_are_named(rows, kind, argument):
    others = {name: value for name, value in GIVEN.items() if name != argument}
    model = GaussianMixture(3, fixed={kind: [0]}, **others)
    with pytest.raises(ValueError, match=argument):
        model.fit(rows)
    with pytest.raises(ValueError, match=argument):
        model.partial_fit(rows)
    with pytest.raises(ValueError, match=argument):  # nor is one of a fixed kind drawn
        GaussianMixture(3, fixed={kind: True}).fit(rows)


@pytest.mark.parametrize(("fixed", "said"), [
    ({"mean": [0]}, "did you mean 'means'"),
    ({"means": [3]}, "from 0 to 2"),
    ({"means": [-1]}, "from 0 to 2"),
    ({"means": [True, False, True]}, "numbers of components in a list"),
    ({"means": 1}, "numbers of components in a list"),
    ({"means": "some"}, "or 'all'"),
    ({"weights": [0.5]}, "numbers of components in a list"),
])  # fmt: skip
def test_what_cannot_be_fixed_is_refused(rows, fixed, said):
    with pytest.raises(ValueError, match=said):
        model_of(fixed=fixed).fit(rows)


@pytest.mark.parametrize("name", [n for n, each in FAMILIES.items() if n == each.covariance_type])
def test_covariances_in_common_are_all_fixed_or_none(rows, name):
    family = FAMILIES[name]
    given = GaussianMixture(3, covariance_type=name, random_state=0, warm_start=True).fit(rows)
    before = given.covariances_.copy()
    given.set_params(fixed={"covariances": "all"}).fit(rows[:300])
    assert_array_equal(given.covariances_, before)
    if family.constraint is not None or family.structure.is_shared:
        with pytest.raises(ValueError, match="something in common"):
            given.set_params(fixed={"covariances": [0]}).fit(rows)


def test_a_narrow_covariance_that_was_given_is_no_fault(rows):
    narrow = PRECISIONS * np.array([1.0, 1.0, 1e7])[:, None, None]
    model_of(precisions_init=narrow, fixed={"covariances": [2], "weights": [2], "means": [2]}).fit(
        rows
    )


def test_nothing_fixed_is_the_plain_fit(rows):
    for fixed in (None, {}, {"means": []}, {"weights": False}):
        model = GaussianMixture(3, random_state=0, fixed=fixed).fit(rows)
        assert_array_equal(model.means_, GaussianMixture(3, random_state=0).fit(rows).means_)
