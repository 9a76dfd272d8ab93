"""A saved model comes back with every bit, and a file that is no model is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from fastgmm.errors import ModelFileError
from fastgmm.estimators import GaussianMixture, load
from fastgmm.estimators.fitted_attributes import FITTED
from fastgmm.storage import archive

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(60, 3)), rng.normal(4.0, 1.0, size=(60, 3))])


@pytest.fixture(params=COVARIANCE_TYPES)
def model(request, rows):
    """A fitted model of each type."""
    return GaussianMixture(2, covariance_type=request.param, random_state=0).fit(rows)


def assert_same(found, expected):
    """Every attribute and setting equal, with the same dtype."""
    for name in FITTED:
        assert hasattr(found, name) == hasattr(expected, name), name
        if hasattr(expected, name):
            value, wanted = getattr(found, name), getattr(expected, name)
            assert type(value) is type(wanted), name
            assert_array_equal(value, wanted)
            assert np.asarray(value).dtype == np.asarray(wanted).dtype
    assert found.get_params() == expected.get_params()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_way_there_and_back_changes_no_bit(model, rows, dtype, tmp_path):
    model.fit(rows.astype(dtype))
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_same(found, model)
    for method in ("predict", "predict_proba", "score_samples"):
        assert_array_equal(getattr(found, method)(rows), getattr(model, method)(rows))
    assert_array_equal(found.sample(20)[0], model.sample(20)[0])


def test_saving_again_gives_the_same_bytes(model, tmp_path):
    model.save(tmp_path / "one.npz")
    load(tmp_path / "one.npz").save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_loaded_model_goes_on_as_the_saved_one_would(rows, tmp_path):
    model = GaussianMixture(2, random_state=0, warm_start=True, tol=1e-9, max_iter=200)
    model.fit(rows[:80]).save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_array_equal(found.fit(rows).means_, model.fit(rows).means_)


def test_names_and_history_are_kept(rows, tmp_path):
    frame = pandas.DataFrame(rows, columns=["a", "b", "c"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_same(found, model)
    assert found.converged_ is True
    assert_array_equal(found.predict(frame), model.predict(frame))


def test_settings_of_every_kind_are_kept(rows, tmp_path):
    model = GaussianMixture(
        np.int64(2),
        tol=np.float64(1e-5),
        reg_covar=1,
        weights_init=np.array([0.5, 0.5]),
        means_init=rows[:2],
        random_state=np.int32(4),
        warm_start=True,
    ).fit(rows)
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz").get_params()
    for name, value in model.get_params().items():
        assert_array_equal(found[name], value)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_state_of_random_numbers_is_not_kept(rows, make, tmp_path):
    model = GaussianMixture(2, random_state=make(0)).fit(rows)
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").random_state is None
    assert model.random_state is not None


def test_models_without_a_fit_can_be_saved(tmp_path):
    model = GaussianMixture.from_parameters([0.25, 0.75], [[0.0], [3.0]], [[[1.0]], [[2.0]]])
    model.save(tmp_path / "model.npz")
    assert_same(load(tmp_path / "model.npz"), model)


def test_models_set_by_hand_can_be_saved(tmp_path):
    model = GaussianMixture(2, covariance_type="diag")
    model.weights_, model.means_ = np.array([0.5, 0.5]), np.array([[0, 0], [3, 3]])
    model.precisions_cholesky_ = np.ones((2, 2))
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_array_equal(found.covariances_, np.ones((2, 2)))
    assert found.score([[0.0, 0.0]]) == model.score([[0.0, 0.0]])


def test_a_model_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        GaussianMixture().save(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def break_array(name, change):
    """Change one array."""

    def change_it(header, arrays):
        arrays[name] = change(arrays[name].copy())

    return change_it


def break_header(change):
    """Change the header."""

    def change_it(header, arrays):
        change(header)

    return change_it


def put(value, *place):
    """Set one number of an array."""

    def change(array):
        array[place] = value
        return array

    return change


BROKEN = {
    "another class": (break_header(lambda h: h.update({"class": "KMeans"})), "'KMeans'"),
    "no class": (break_header(lambda h: h.pop("class")), "'class' is missing"),
    "no settings": (break_header(lambda h: h.pop("settings")), "'settings' is missing"),
    "unknown setting": (break_header(lambda h: h["settings"].update(depth=3)), "depth"),
    "bad setting": (break_header(lambda h: h["settings"].update(tol=-1)), "tol"),
    "another type": (
        break_header(lambda h: h["settings"].update(covariance_type="tied")),
        "shape",
    ),
    "too few names": (break_header(lambda h: h.update(feature_names=["a"])), "names 1 of 3"),
    "no history": (break_header(lambda h: h["history"].pop("n_iter_")), "n_iter_"),
    "no means": (lambda header, arrays: arrays.pop("means_"), "'means_' is missing"),
    "NaN": (break_array("means_", put(np.nan, 0, 0)), "'means_' holds .* not finite"),
    "weights": (break_array("weights_", put(0.9, 0)), "normalized"),
    "negative weight": (break_array("weights_", put(-0.5, 0)), "range"),
    "lower triangle": (break_array("precisions_cholesky_", put(0.5, 0, 2, 0)), "not triangular"),
    "negative factor": (break_array("precisions_cholesky_", put(-1.0, 0, 1, 1)), "definite"),
    "asymmetric": (break_array("covariances_", put(7.0, 0, 1, 0)), "not symmetric"),
    "negative variance": (break_array("covariances_", put(-1.0, 0, 0, 0)), "definite"),
    "flat means": (break_array("means_", np.ravel), "shape"),
    "one component less": (break_array("covariances_", lambda a: a[:1]), "covariances_"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_files_that_hold_no_mixture_are_refused(rows, fault, tmp_path):
    change, words = BROKEN[fault]
    GaussianMixture(2, random_state=0).fit(rows).save(tmp_path / "model.npz")
    header, arrays = archive.read(tmp_path / "model.npz")
    change(header, arrays)
    archive.write(tmp_path / "broken.npz", header, arrays)
    with pytest.raises(ModelFileError, match=words) as caught:
        load(tmp_path / "broken.npz")
    assert "broken.npz" in str(caught.value)
    json.dumps(str(caught.value))  # a sentence, with nothing in it that cannot be printed


def test_a_truncated_file_is_refused(model, tmp_path):
    model.save(tmp_path / "model.npz")
    content = (tmp_path / "model.npz").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "short.npz").write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            load(tmp_path / "short.npz")


@pytest.mark.parametrize("kind", ["full", "tied", "EEV", "EVV", "VEE", "VEV", "EVE", "VVE"])
@pytest.mark.parametrize("method", ["kmeans", "random"])
def test_a_start_comes_back_as_a_fit_does(kind, method, rng, tmp_path):
    """An entry above the diagonal differed by a rounding from its twin, and was refused."""
    rows = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3))
    model = GaussianMixture(3, covariance_type=kind, init_params=method, max_iter=0, random_state=0)
    model.fit(rows)
    model.save(tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").covariances_, model.covariances_)
