"""A start from given responsibilities: scikit-learn's M-step, streamed; what is none is refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.mixture._gaussian_mixture import _estimate_gaussian_parameters

from fastgmm import BayesianGaussianMixture, DataError, GaussianMixture, load, open_source
from fastgmm.covariance import FAMILIES
from fastgmm.kernels.block_sizes import block_rows

TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    parts = [
        rng.normal(0, 1, (300, 3)),
        rng.normal(3, 1, (200, 3)),
        rng.normal([0, 4, 0], 1, (90, 3)),
    ]
    return rng.permutation(np.concatenate(parts))


@pytest.fixture(scope="module")
def shares(rows):
    return np.random.default_rng(4).dirichlet(np.ones(3), len(rows))


def start_of(rows, given, sample_weight=None, **settings):
    """Return what a fit without a pass has: the start."""
    model = GaussianMixture(3, responsibilities_init=given, max_iter=0, **settings)
    return model.fit(rows, sample_weight=sample_weight)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_start_is_scikit_learns_m_step(rows, shares, covariance_type, offset):
    found = start_of(rows + offset, shares, covariance_type=covariance_type)
    counts, means, covariances = _estimate_gaussian_parameters(rows, shares, 1e-6, covariance_type)
    assert_allclose(found.weights_, counts / counts.sum(), rtol=1e-12)
    assert_allclose(found.means_ - offset, means, rtol=1e-9, atol=1e-9)
    assert_allclose(found.covariances_, covariances, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_from_the_same_responsibilities_ends_where_scikit_learns_does(rows, covariance_type):
    settings = {"covariance_type": covariance_type, "tol": 1e-12, "max_iter": 5000}
    theirs = Theirs(3, init_params="kmeans", random_state=0, **settings).fit(rows)
    labels = KMeans(3, n_init=1, random_state=np.random.RandomState(0)).fit(rows).labels_
    ours = GaussianMixture(3, responsibilities_init=labels, **settings).fit(rows)
    for name in ("weights_", "means_", "covariances_"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6)


def test_labels_are_responsibilities_of_nothing_else(rows):
    labels = np.arange(len(rows)) % 3
    hard, soft = start_of(rows, labels), start_of(rows, np.eye(3)[labels])
    for name in ("weights_", "means_", "covariances_"):
        assert_allclose(getattr(hard, name), getattr(soft, name), rtol=1e-12, atol=1e-14)


def test_it_is_read_from_whatever_rows_are_read_from(rows, shares, tmp_path):
    labels = np.arange(len(rows)) % 3
    np.save(tmp_path / "shares.npy", shares)
    np.save(tmp_path / "labels.npy", labels)
    np.savetxt(tmp_path / "shares.csv", shares, fmt="%.17g", delimiter=",")
    expected, of_labels = start_of(rows, shares), start_of(rows, labels)
    for given in (
        tmp_path / "shares.npy",
        str(tmp_path / "shares.csv"),
        shares.tolist(),
        pd.DataFrame(shares),
        open_source([shares[:100], shares[100:]]),
    ):
        assert_array_equal(start_of(rows, given).covariances_, expected.covariances_)
    for given in (
        str(tmp_path / "labels.npy"),
        labels.tolist(),
        pd.Series(labels),
        labels[:, None],
    ):
        assert_array_equal(start_of(rows, given).covariances_, of_labels.covariances_)
    streamed = open_source([rows[:70], rows[70:71], rows[71:]])
    assert_array_equal(start_of(streamed, shares).covariances_, expected.covariances_)
    assert_array_equal(start_of(streamed, labels).covariances_, of_labels.covariances_)


def test_blocks_are_joined_as_if_they_were_one():
    rng = np.random.default_rng(0)
    n = 2 * block_rows(2) + 1000
    rows, shares = rng.normal(1e5, 1.0, (n, 2)), rng.dirichlet(np.ones(3), n)
    shares[: block_rows(2), 0], shares[: block_rows(2)] = 0.0, [0.0, 0.5, 0.5]
    found = start_of(rows, shares)
    _, means, covariances = _estimate_gaussian_parameters(rows - 1e5, shares, 1e-6, "full")
    assert_allclose(found.means_ - 1e5, means, atol=1e-9)
    assert_allclose(found.covariances_, covariances, rtol=1e-9, atol=1e-9)


def test_weights_and_float32(rows, shares):
    counts = np.arange(len(rows)) % 3
    weighted = start_of(rows, shares, sample_weight=counts)
    repeated = start_of(np.repeat(rows, counts, axis=0), np.repeat(shares, counts, axis=0))
    assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-10, atol=1e-12)
    single = start_of(rows.astype(np.float32), shares.astype(np.float32))
    assert single.means_.dtype == np.float32
    assert_allclose(single.means_, start_of(rows, shares).means_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, each in FAMILIES.items() if name == each.name])
def test_the_start_is_of_the_family(rows, shares, name):
    found = start_of(rows, shares, covariance_type=name)
    assert FAMILIES[name].structure.shape(3, 3) == found.covariances_.shape


def test_other_starts_take_its_place(rows, shares):
    means = np.eye(3)
    found = start_of(rows, shares, means_init=means, fixed={"means": "all"})
    assert_array_equal(found.means_, means)
    assert_array_equal(found.weights_, start_of(rows, shares).weights_)


def test_a_prior_of_so_many_rows_is_that_of_the_start(rows, shares):
    found = GaussianMixture(3, responsibilities_init=shares, prior=30.0).fit(rows)
    assert found.prior_strength_ == 30.0
    assert np.diff(found.lower_bounds_).min() > -1e-12


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s[:-1], "589 lines for 590 rows"),
        (lambda s: s[:, :2], "2 columns for 3 components"),
        (lambda s: np.where(np.arange(3) == 1, np.nan, s), "row 0 .*NaN"),
        (lambda s: s - np.array([0.5, -0.5, 0.0]), "row .* holds -0"),
        (lambda s: s * 0.9, "row 0 of responsibilities_init sums to 0.9"),
        (lambda s: s[:, 0] * 0, "no row of positive weight to component 1"),
        (lambda s: np.arange(590) % 4, "from 0 to 2"),
        (lambda s: np.full(590, -1), "from 0 to 2"),
        (lambda s: np.full(590, 0.5), "from 0 to 2"),
        (lambda s: np.full(590, "a"), "from 0 to 2"),
        (lambda s: np.arange(589) % 3, "589 labels were given for 590 rows"),
        (lambda s: np.arange(591) % 3, "591 labels were given for 590 rows"),
        (lambda s: partial(iter, [s[:200], s[200:-5]]), "not have one line for each row"),
        (lambda s: partial(iter, [s, s[:1]]), "not have one line for each row"),
    ],
)
def test_what_is_none_is_refused(rows, shares, spoil, said):
    with pytest.raises(DataError, match=said):
        start_of(rows, spoil(shares))


def test_a_component_of_weightless_rows_is_refused(rows):
    labels = np.arange(len(rows)) % 3
    with pytest.raises(DataError, match="component 2"):
        start_of(rows, labels, sample_weight=(labels != 2).astype(float))


def test_partial_fit_goes_on_from_it_and_does_not_begin_with_it(rows, shares):
    model = GaussianMixture(3, responsibilities_init=shares)
    with pytest.raises(ValueError, match="fit these, and go on with partial_fit"):
        model.partial_fit(rows)
    assert model.fit(rows).partial_fit(rows[:100]).n_rows_ == len(rows) + 100


def test_rows_of_a_dask_array_take_labels_and_say_so(rows, shares):
    dask_array = pytest.importorskip("dask.array")
    lazy, labels = dask_array.from_array(rows, chunks=(100, 3)), shares.argmax(axis=1)
    assert_allclose(start_of(lazy, labels).means_, start_of(rows, labels).means_, rtol=1e-12)
    with pytest.raises(DataError, match="give the number of a component for each row"):
        start_of(lazy, shares)


def test_it_is_cloned_checkpointed_and_not_saved(rows, shares, tmp_path):
    model = GaussianMixture(3, responsibilities_init=shares).fit(rows, checkpoint=tmp_path / "ckpt")
    again = clone(model).fit(rows, checkpoint=tmp_path / "ckpt")
    assert_array_equal(again.means_, model.means_)
    with pytest.raises(ValueError, match="responsibilities_init was"):
        GaussianMixture(3, responsibilities_init=shares[:, ::-1]).fit(
            rows, checkpoint=tmp_path / "ckpt"
        )
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").get_params()["responsibilities_init"] is None


def test_the_bayesian_mixture_has_none():
    assert "responsibilities_init" not in BayesianGaussianMixture().get_params()
