"""The choice by the evidence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import scale

import fastgmm
from fastgmm import AutoGaussianMixture, BayesianGaussianMixture, select
from fastgmm.errors import DegenerateComponentWarning, WeightsWarning


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(300, centers=4, cluster_std=0.6, random_state=0)[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_four_blobs_and_two_kinds_of_iris_are_found(blobs, seed):
    found = select(blobs, range(1, 8), criterion="evidence", random_state=seed).best_estimator_
    assert isinstance(found, BayesianGaussianMixture)
    assert (found.n_components, found.n_active_) == (4, 4)
    iris = load_iris().data
    found = select(iris, range(1, 6), "full", criterion="evidence", random_state=seed)
    assert found.best_estimator_.n_components == 2


@pytest.mark.parametrize("n_rows", [50, 300, 5000])
def test_one_cluster_has_one_component_and_no_empty_ones(rng, n_rows):
    found = select(rng.normal(size=(n_rows, 2)), range(1, 6), "full", criterion="evidence")
    assert found.best_estimator_.n_components == 1
    assert found.table["evidence"].argmin() == 0


@pytest.mark.parametrize(("n_rows", "n_features"), [(150, 100), (300, 50), (2000, 30)])
@pytest.mark.parametrize("types", [["full", "tied", "diag", "spherical"], ["full"], ["diag"]])
def test_noise_of_many_features_has_one_component(rng, n_rows, n_features, types):
    # under the default prior alone "full" took as many as there were of 150 x 100
    rows = rng.normal(size=(n_rows, n_features))
    found = select(rows, range(1, 4), types, criterion="evidence", random_state=0)
    assert found.best_estimator_.n_components == 1
    assert found.table["n_components"].tolist() == [1, 2, 3] * len(types)


@pytest.mark.parametrize("n_features", [2, 5, 20, 50])
def test_blobs_of_any_number_of_features_are_counted(n_features):
    rows, labels = make_blobs(300, centers=3, n_features=n_features, random_state=1)
    for types in (["full", "tied", "diag", "spherical"], ["diag"]):
        model = select(
            rows, range(1, 6), types, criterion="evidence", random_state=0
        ).best_estimator_
        assert model.n_components == 3
        assert adjusted_rand_score(labels, model.predict(rows)) > 0.95


def test_clusters_in_a_line_are_found_that_the_wide_prior_misses(rng):
    rows = rng.normal(size=(600, 10))
    rows[:, 0] += np.repeat([0.0, 8.0, 16.0], 200)
    found = select(rows, range(1, 5), "full", criterion="evidence", random_state=0)
    assert found.best_estimator_.n_components == 3


def test_wine_s_three_cultivars_are_found():
    # under the two other priors alone four components, an adjusted Rand index of 0.43
    data = load_wine()
    rows = scale(data.data)
    for types in (["full", "tied", "diag", "spherical"], ["full"]):
        found = select(rows, range(1, 6), types, criterion="evidence", random_state=0)
        model = found.best_estimator_
        assert (model.n_components, model.covariance_type) == (3, "full")
        assert adjusted_rand_score(data.target, model.predict(rows)) > 0.9


def test_the_chosen_estimator_fits_the_same_again(rng):
    rows = rng.normal(size=(60, 20))
    model = select(rows, [1, 2], "full", criterion="evidence", random_state=0).best_estimator_
    assert_allclose(model.covariance_prior, 20 * np.cov(rows.T), rtol=1e-10)
    again = clone(model).fit(rows)
    assert again.lower_bound_ == pytest.approx(model.lower_bound_, rel=1e-12)


def test_what_is_wrong_with_the_best_is_said(blobs):
    settings = {"criterion": "evidence", "random_state": 0}
    constant = np.column_stack([blobs, np.ones(300)])
    with pytest.warns(DegenerateComponentWarning, match="feature 2 is constant"):
        select(constant, [1, 4], "full", **settings)
    with pytest.warns(DegenerateComponentWarning, match="all rows are the same"):
        select(np.ones((20, 2)), [1, 2], **settings)
    with pytest.warns(
        WeightsWarning, match=r"sum to 0\.3, which evidence .* beside the prior\. If"
    ):
        select(blobs, [1, 2], "diag", sample_weight=np.full(300, 1e-3), **settings)
    with pytest.raises(ValueError, match=r"max_iter=0 leaves .* give max_iter a number from 1"):
        select(blobs, [1, 2], max_iter=0, **settings)


def test_the_table_holds_the_bounds_of_fits_of_their_own(blobs):
    found = select(blobs, [1, 3, 4], ["full", "diag"], criterion="evidence", random_state=0)
    table = found.table
    assert table["covariance_type"].tolist() == ["full"] * 3 + ["diag"] * 3
    assert table["n_components"].tolist() == [1, 3, 4] * 2
    assert_allclose(table["evidence"], -2.0 * 300 * table["lower_bound"])
    assert table["converged"].all()
    for kind, count, bound in zip(
        table["covariance_type"], table["n_components"], table["lower_bound"], strict=True
    ):
        own = BayesianGaussianMixture(
            n_components=int(count),
            covariance_type=kind,
            weight_concentration_prior_type="dirichlet_distribution",
            random_state=0,
            n_init=3,
        ).fit(blobs)
        # 0.01 nats of the total, and another start
        assert bound > own.lower_bound_ - 0.5 / 300
    assert found.collapsed.tolist() == [False] * 6


def test_the_fewest_components_within_a_bare_mention_are_chosen(blobs):
    found = select(blobs, range(1, 8), "tied", criterion="evidence", random_state=0)
    values = found.table["evidence"]
    close = found.table["n_components"][values <= values.min() + 2.0]
    assert found.best_estimator_.n_components == close.min()


def test_the_estimator_predicts_as_its_best_does(blobs, tmp_path):
    model = AutoGaussianMixture(range(1, 6), criterion="evidence", random_state=0).fit(blobs)
    assert model.n_components_ == 4
    assert_array_equal(model.predict_proba(blobs), model.best_estimator_.predict_proba(blobs))
    assert_array_equal(model.score_samples(blobs), model.best_estimator_.score_samples(blobs))
    model.best_estimator_.save(tmp_path / "model.npz")
    again = fastgmm.load(tmp_path / "model.npz")
    assert_array_equal(again.predict_proba(blobs), model.predict_proba(blobs))


def test_chunks_and_a_checkpoint_do_not_change_a_bit(blobs, tmp_path):
    settings = {"criterion": "evidence", "random_state": 0}
    whole = select(blobs, [2, 4, 6], ["full", "tied"], **settings)
    chunked = select(
        lambda: iter(np.split(blobs, [5, 100])), [2, 4, 6], ["full", "tied"], **settings
    )
    assert_array_equal(whole.table["lower_bound"], chunked.table["lower_bound"])

    class StopError(Exception):
        pass

    def chunks():
        nonlocal n_passes
        n_passes += 1
        if n_passes == 10:
            raise StopError
        return iter([blobs])

    n_passes = 0
    path = tmp_path / "select.ckpt"
    with pytest.raises(StopError):
        select(chunks, [2, 4, 6], ["full", "tied"], checkpoint=path, **settings)
    again = select(chunks, [2, 4, 6], ["full", "tied"], checkpoint=path, **settings)
    assert_array_equal(whole.table["lower_bound"], again.table["lower_bound"])
    assert_array_equal(whole.best_estimator_.means_, again.best_estimator_.means_)


def test_what_cannot_be_tried_is_said(blobs):
    with pytest.raises(ValueError, match=r"prior=1\.0 is of GaussianMixture; leave it out"):
        select(blobs, [1, 2], criterion="evidence", prior=1.0)
    with pytest.raises(ValueError, match="did you mean 'evidence'"):
        select(blobs, [1, 2], criterion="evidense")
    found = select(blobs[:3], [1, 5], "diag", criterion="evidence", random_state=0)
    assert found.table["evidence"][1] == np.inf
    assert found.best_estimator_.n_components == 1


def test_the_evidence_is_drawn(blobs):
    pytest.importorskip("matplotlib")
    ax = select(blobs, range(1, 6), criterion="evidence", random_state=0).plot()
    assert "EVIDENCE" in ax.get_ylabel()
    assert len(ax.get_legend().get_texts()) == 4
