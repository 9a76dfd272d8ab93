"""fit(X, labels=...): the maximum of its definition in every way to fit; others are refused."""

from __future__ import annotations

import naive
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgmm import (
    BayesianGaussianMixture,
    ConjugatePrior,
    DataError,
    GaussianMixture,
    StudentTMixture,
    load,
    open_source,
)
from fastgmm.covariance import FAMILIES

TYPES = ("full", "tied", "diag", "spherical")
FITTED = ("weights_", "means_", "covariances_")
EXACT = {"prior": None, "reg_covar": 0.0, "tol": 1e-7, "acceleration": None}


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(7)
    sizes, centres = (220, 120, 60), [(0, 0), (2.5, 0), (0, 3)]
    rows = [rng.normal(centre, 1, (n, 2)) for n, centre in zip(sizes, centres, strict=True)]
    order = rng.permutation(sum(sizes))
    return np.concatenate(rows)[order], np.repeat([0, 1, 2], sizes)[order]


@pytest.fixture(scope="module")
def rows(truth):
    return truth[0]


@pytest.fixture(scope="module")
def labels(truth):
    """A tenth of the classes."""
    return np.where(np.arange(400) % 10 == 0, truth[1], -1)


def fit(rows, labels, k=3, **settings):
    return GaussianMixture(k, **({"random_state": 0} | settings)).fit(rows, labels=labels)


def assert_same(found, expected, **tolerances):
    for name in FITTED:
        assert_allclose(getattr(found, name), getattr(expected, name), **tolerances)


def naive_em(rows, labels, start, per_class=1, n_passes=400):
    """EM of rows with classes, from the definition, in double precision."""
    structure = {kind: s for s, kind in naive.COVARIANCE_TYPES.items()}[start.covariance_type]
    mixture = naive.Mixture(structure, start.weights_, start.means_, start.covariances_)
    allowed = np.ones((len(rows), len(start.weights_)), bool)
    owner = np.arange(len(start.weights_)) // per_class
    for i in np.flatnonzero(labels >= 0):
        allowed[i] = owner == labels[i]
    for _ in range(n_passes):
        densities = naive.log_densities(
            rows, mixture.weights, mixture.means, mixture.covariances, structure
        ).astype(float)
        densities[~allowed] = -np.inf
        top = densities.max(axis=1, keepdims=True)
        shares = np.exp(densities - top)
        totals = shares.sum(axis=1, keepdims=True)
        log_likelihood = float((top + np.log(totals)).sum())
        _, *parts = naive.m_step(rows, shares / totals, structure, 0.0)
        mixture = naive.Mixture(structure, *(np.asarray(part, float) for part in parts))
    return mixture, log_likelihood


@pytest.mark.parametrize("per_class", [1, 2])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_ends_where_em_of_its_definition_does(rows, labels, covariance_type, per_class):
    if per_class == 2:
        labels = np.where(labels == 2, -1, labels)
    k = 3 if per_class == 1 else 4
    settings = {"covariance_type": covariance_type, "components_per_class": per_class} | EXACT
    start = fit(rows, labels, k, **settings | {"max_iter": 0})
    found = fit(
        rows, labels, k, weights_init=start.weights_, means_init=start.means_,
        precisions_init=start.precisions_, **settings,
    )  # fmt: skip
    mixture, log_likelihood = naive_em(rows, labels, start, per_class, found.n_iter_)
    assert_allclose(found.weights_, mixture.weights, rtol=1e-8)
    assert_allclose(found.means_, mixture.means, atol=1e-8)
    assert_allclose(found.covariances_, mixture.covariances, atol=1e-8)
    assert found.lower_bound_ * len(rows) == pytest.approx(log_likelihood, rel=1e-10)
    assert np.diff(found.lower_bounds_).min() > -1e-12


@pytest.mark.parametrize("settings", [
    {}, {"prior": 20.0}, {"prior": ConjugatePrior.fraley_raftery()}, {"acceleration": "squarem"},
    {"components_per_class": 2, "n_components": 7}, {"n_components": 5}, {"n_init": 3},
    {"covariance_type": "VEE"}, {"covariance_type": "EVI"}, {"reg_covar_relative": True},
    {"init_params": "kmeans"}, {"init_params": "random"},
], ids=str)  # fmt: skip
def test_the_bound_never_falls_and_classes_keep_their_components(rows, truth, labels, settings):
    model = GaussianMixture(**({"n_components": 3, "random_state": 0} | settings))
    found = model.fit(rows, labels=labels).predict_proba(rows)
    steps = np.diff(model.lower_bounds_)
    assert steps.min() > -1e-9
    per_class = model.components_per_class
    of_classes = found[:, : 3 * per_class].reshape(len(rows), 3, per_class).sum(axis=2)
    if model.n_components == 3 * per_class:
        assert (of_classes.argmax(axis=1) == truth[1]).mean() > 0.85
    assert_array_equal(model.classes_, [0, 1, 2])


def test_a_labelled_row_pulls_its_class_to_where_it_is(rows):
    """Whatever the density says: a row of the other cluster stays its class's."""
    labels = np.full(len(rows), -1)
    labels[np.argsort(rows @ [1, 0])[[0, -1]]] = [1, 0]  # far left is class 1, far right class 0
    found = fit(rows, labels, 2)
    assert found.means_[0, 0] > found.means_[1, 0]
    labels[labels >= 0] = 1 - labels[labels >= 0]
    other = fit(rows, labels, 2)
    assert other.means_[0, 0] < other.means_[1, 0]


def test_labels_alone_are_one_m_step(truth):
    rows, classes = truth
    found = fit(rows, classes, prior=None, reg_covar=0.0)
    for c in range(3):
        its = rows[classes == c]
        assert found.weights_[c] == pytest.approx(len(its) / len(rows), rel=1e-13)
        assert_allclose(found.means_[c], its.mean(axis=0), rtol=1e-12)
        assert_allclose(found.covariances_[c], np.cov(its.T, bias=True), rtol=1e-11)
    assert found.n_iter_ <= 3


@pytest.mark.parametrize("nothing", [-1, None, np.nan, pd.NA])
def test_no_known_class_is_the_plain_fit(rows, nothing):
    labels = np.full(len(rows), nothing)
    found, plain = fit(rows, labels), GaussianMixture(3, random_state=0).fit(rows)
    for name in FITTED:
        assert_array_equal(getattr(found, name), getattr(plain, name))
    assert found.lower_bounds_ == plain.lower_bounds_
    assert not hasattr(found, "classes_")


@pytest.mark.parametrize("as_type", [
    lambda y: y, list, pd.Series, lambda y: np.where(y < 0, np.nan, y),
    lambda y: [None if c < 0 else int(c) for c in y],
    lambda y: pd.array([pd.NA if c < 0 else int(c) for c in y]),
    lambda y: np.ma.masked_less(y, 0),
])  # fmt: skip
def test_integers_may_come_in_any_type(rows, labels, as_type):
    found, expected = fit(rows, as_type(labels)), fit(rows, labels)
    assert_array_equal(found.means_, expected.means_)
    assert_array_equal(found.classes_, [0, 1, 2])
    assert found.classes_.dtype.kind == "i"


@pytest.mark.parametrize(("names", "missing"), [
    (["c", "a", "b"], None), (["c", "a", "b"], np.nan), (["c", "a", "b"], -1), ([30, 10, 20], -1),
    (["c", "a", "b"], pd.NA),
])  # fmt: skip
def test_classes_are_sorted_names(rows, labels, names, missing):
    named = np.array([missing if c < 0 else names[c] for c in labels], object)
    found, expected = fit(rows, named), fit(rows, labels)
    assert found.classes_.tolist() == sorted(names)
    order = [names.index(name) for name in found.classes_]
    assert_allclose(found.means_, expected.means_[order], atol=1e-4)
    categories = pd.Series(named).astype("category")
    assert_array_equal(fit(rows, categories).means_, found.means_)


def test_booleans_are_classes(rows, labels):
    named = np.array([None if c < 0 else bool(c) for c in labels], object)
    found = fit(rows, named, 2)
    assert found.classes_.tolist() == [False, True]
    with pytest.raises(DataError, match="2 classes"):
        fit(rows, labels > 0, 1)


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda y: y[:-1], "399 labels were given for 400 rows"),
    (lambda y: np.append(y, 0), "401 labels were given for 400 rows"),
    (lambda y: y[:, None], "1-d"),
    (lambda y: y + 0.5, "0.5"),
    (lambda y: y.astype(complex), "complex"),
    (lambda y: [None, "a", 1, *y[3:]], "no order"),
    (lambda y: [("a",), *y[1:]], "none of these"),
    (lambda y: np.arange(400) % 4, "4 classes .* need 4 components, and n_components is 3"),
])  # fmt: skip
def test_what_are_no_labels_is_refused(rows, labels, spoil, said):
    with pytest.raises(DataError, match=said):
        fit(rows, spoil(labels))
    streamed = open_source(lambda: iter([rows[:7], rows[7:]]))
    with pytest.raises(DataError, match=said.replace("for 400", "for .*400")):
        fit(streamed, spoil(labels))


def test_more_components_of_a_class_than_there_are_is_refused(rows, labels):
    with pytest.raises(DataError, match="of 2 components each need 6"):
        fit(rows, labels, 5, components_per_class=2)


def test_a_class_of_one_row_has_a_component(rows):
    labels = np.full(len(rows), -1)
    for c, centre in enumerate([(0, 0), (2.5, 0), (0, 3)]):
        labels[np.abs(rows - centre).sum(axis=1).argmin()] = c
    found = fit(rows, labels)
    assert_allclose(found.means_, [(0, 0), (2.5, 0), (0, 3)], atol=0.6)
    of_two = fit(rows, labels, 6, components_per_class=2)
    assert np.isfinite(of_two.lower_bound_)


def test_a_weight_is_repetition_and_zero_is_a_row_left_out(rows, labels):
    counts = np.random.default_rng(0).integers(0, 3, len(rows))
    weighted = GaussianMixture(3, random_state=0, tol=1e-12).fit(
        rows, sample_weight=counts, labels=labels
    )
    repeated = fit(np.repeat(rows, counts, axis=0), np.repeat(labels, counts), tol=1e-12)
    assert_same(weighted, repeated, rtol=1e-6, atol=1e-7)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-10)


def test_a_class_without_weight_is_found_by_the_start(rows, labels):
    weights = np.where(labels == 2, 0.0, 1.0)
    found = GaussianMixture(3, random_state=0).fit(rows, sample_weight=weights, labels=labels)
    assert_array_equal(found.classes_, [0, 1, 2])
    assert_allclose(found.means_[2], [0, 3], atol=1.0)


def test_files_and_chunks_have_the_same_bits(rows, labels, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    expected = fit(rows, labels)
    for source in (
        tmp_path / "rows.npy",
        lambda: iter([rows[:3], rows[3:]]),
        np.asfortranarray(rows),
    ):
        found = fit(source, labels)
        for name in FITTED:
            assert_array_equal(getattr(found, name), getattr(expected, name))


def test_float32_ends_where_float64_does(rows, labels):
    found, expected = fit(rows.astype(np.float32), labels), fit(rows, labels)
    assert found.means_.dtype == np.float32
    assert_same(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("per_class", [1, 2])
def test_rows_of_a_dask_array_end_where_those_in_memory_do(rows, labels, per_class):
    dask_array = pytest.importorskip("dask.array")
    words = {"k": 3 * per_class, "components_per_class": per_class}
    expected = fit(rows, labels, **words)
    found = fit(dask_array.from_array(rows, chunks=((110, 150, 140), 2)), labels, **words)
    # sums of partitions end in other digits; components of one class may change places
    order, theirs = (
        np.lexsort((m.weights_, np.arange(m.n_components) // per_class)) for m in (found, expected)
    )
    for name in FITTED:
        its, known = getattr(found, name)[order], getattr(expected, name)[theirs]
        assert_allclose(its, known, rtol=1e-5, atol=1e-5)
    assert_array_equal(found.classes_, expected.classes_)
    assert_allclose(found.bic(rows, labels=labels), expected.bic(rows, labels=labels), rtol=1e-6)


def test_a_column_of_a_dask_frame_holds_labels(rows, labels):
    pytest.importorskip("dask.dataframe")
    import dask.dataframe

    species = pd.Series(np.array(["a", "b", "c", None], object)[labels])
    frame = pd.DataFrame(rows, columns=["x", "y"]).assign(species=species)
    lazy = dask.dataframe.from_pandas(frame, npartitions=3).repartition(npartitions=2)
    expected = fit(rows, species)
    found = GaussianMixture(3, random_state=0).fit(open_source(lazy, label="species"))
    assert_same(found, expected, rtol=1e-5, atol=1e-5)
    assert found.classes_.tolist() == ["a", "b", "c"]
    beside = fit(lazy[["x", "y"]], lazy["species"])
    assert_same(beside, expected, rtol=1e-5, atol=1e-5)


def test_labels_that_are_not_one_for_each_row_of_a_dask_frame_are_refused(rows, labels):
    pytest.importorskip("dask.dataframe")
    import dask.dataframe

    lazy = dask.dataframe.from_pandas(pd.DataFrame(rows, columns=["x", "y"]), npartitions=3)
    with pytest.raises(DataError, match="399 labels were given for 400 rows"):
        fit(lazy, labels[1:])


def test_a_checkpoint_goes_on_with_the_same_bits(rows, labels, tmp_path):
    path = tmp_path / "run.ckpt"
    model = GaussianMixture(3, random_state=0)
    model.fit(rows, labels=labels, checkpoint=path)
    again = clone(model).fit(rows, labels=labels, checkpoint=path)
    assert_array_equal(again.means_, model.means_)
    assert_array_equal(again.classes_, model.classes_)
    with pytest.raises(ValueError, match="labels was"):
        clone(model).fit(rows, labels=np.roll(labels, 1), checkpoint=path)


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "ü"]])
def test_a_saved_model_knows_its_classes(rows, labels, names, tmp_path):
    named = [None if c < 0 else names[c] for c in labels]
    model = fit(rows, named)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.classes_.tolist() == names
    assert again.bic(rows, labels=named) == model.bic(rows, labels=named)
    assert not hasattr(model.set_params(random_state=1).fit(rows), "classes_")


def test_criteria_are_of_rows_and_labels_together(rows, labels):
    model = fit(rows, labels, prior=None)
    joint = model.lower_bound_ * len(rows)
    known = labels >= 0
    shares = model.predict_proba(rows)[known, labels[known]]
    expected = model.score(rows) * len(rows) + np.log(shares).sum()
    assert joint == pytest.approx(expected, rel=1e-7)  # the last step moved by less than tol
    assert model.aic(rows, labels=labels) == pytest.approx(-2 * expected + 2 * 17, rel=1e-10)
    assert model.bic(rows, labels=labels) == pytest.approx(
        -2 * expected + np.log(len(rows)) * 17, rel=1e-10
    )
    some = np.where(labels == 2, -1, labels)
    assert model.bic(rows, labels=some) < model.bic(rows, labels=labels)
    assert model.bic(rows) == pytest.approx(model.bic(rows, labels=np.full(400, -1)))
    with pytest.raises(DataError, match="7, and the fit knew 0, 1, 2"):
        model.bic(rows, labels=np.full(400, 7))
    with pytest.raises(DataError, match="fitted with labels"):
        GaussianMixture(3).fit(rows).bic(rows, labels=labels)


def test_a_warm_start_and_given_means_keep_their_order(rows, labels):
    model = fit(rows, labels, warm_start=True)
    before = model.means_.copy()
    assert_allclose(model.fit(rows, labels=labels).means_, before, atol=1e-3)
    means = before[::-1] + 0.01
    found = GaussianMixture(3, means_init=means, max_iter=0).fit(rows, labels=labels)
    assert_array_equal(found.means_, means)


def test_what_is_fixed_stays_beside_labels(rows, labels):
    means = np.array([[0.1, 0.2], [2.0, 0.0], [0.0, 3.0]])
    found = fit(rows, labels, means_init=means, fixed={"means": [0]})
    assert_array_equal(found.means_[0], means[0])


def test_partial_fit_goes_on_and_keeps_the_classes(rows, labels):
    model = fit(rows, labels)
    model.partial_fit(rows[:50])
    assert_array_equal(model.classes_, [0, 1, 2])
    frame = pd.DataFrame({"x": rows[:, 0], "y": rows[:, 1], "class": labels})
    with pytest.raises(DataError, match="partial_fit takes no labels"):
        model.partial_fit(open_source(frame, label="class"))


def test_fit_predict_returns_components(rows, labels):
    model = GaussianMixture(3, random_state=0)
    found = model.fit_predict(rows, labels=labels)
    assert_array_equal(found, model.predict(rows))


def test_y_is_still_ignored(rows, truth):
    found = GaussianMixture(3, random_state=0).fit(rows, truth[1])
    assert_array_equal(found.means_, GaussianMixture(3, random_state=0).fit(rows).means_)


def test_the_same_seed_gives_the_same_bits(rows, labels):
    for name in FITTED:
        assert_array_equal(getattr(fit(rows, labels), name), getattr(fit(rows, labels), name))


def test_free_components_find_what_belongs_to_no_class(truth):
    rows, classes = truth
    far = np.random.default_rng(0).normal(12, 1, (80, 2))
    labels = np.concatenate([np.where(np.arange(400) % 8 == 0, classes, -1), np.full(80, -1)])
    found = fit(np.concatenate([rows, far]), labels, 4)
    assert_allclose(found.means_, [(0, 0), (2.5, 0), (0, 3), (12, 12)], atol=0.5)


def test_passes_that_are_too_few_are_told(rows, labels):
    with pytest.warns(ConvergenceWarning):
        fit(rows, labels, max_iter=2, tol=0.0)


def test_the_bayesian_mixture_has_no_labels(rows, labels):
    with pytest.raises(TypeError, match="labels"):
        BayesianGaussianMixture(n_components=3).fit(rows, labels=labels)
    assert "components_per_class" not in BayesianGaussianMixture().get_params()


@pytest.mark.parametrize("name", [n for n, each in FAMILIES.items() if n == each.name])
def test_every_family_takes_labels(rows, labels, name):
    found = fit(rows, labels, covariance_type=name)
    assert np.diff(found.lower_bounds_).min() > -1e-9
    assert_array_equal(found.classes_, [0, 1, 2])


def test_heavy_tails_take_no_labels(rows, labels):
    model = StudentTMixture(3)
    with pytest.raises(DataError, match="StudentTMixture takes no labels"):
        model.fit(rows, labels=labels)
    frame = pd.DataFrame({"x": rows[:, 0], "y": rows[:, 1], "class": labels})
    with pytest.raises(DataError, match="StudentTMixture takes no labels"):
        model.fit(open_source(frame, label="class"))


def test_noise_is_not_fitted_beside_labels(rows, labels):
    with pytest.raises(DataError, match="no noise"):
        fit(rows, labels, noise=True)
