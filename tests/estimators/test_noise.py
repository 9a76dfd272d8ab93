"""`noise=True`: rows from anywhere are told from clusters, and a few of them change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from stops import disturbed

from fastgmm import DataError, DegenerateComponentWarning, GaussianMixture, load

TYPES = ("full", "tied", "diag", "spherical")
CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
HALF = 60.0  # of the side of the box that noise is drawn from
ARRAYS = ("weights_", "means_", "covariances_", "lower_bounds_")
NUMBERS = ("noise_weight_", "noise_volume_", "noise_log_volume_")


@pytest.fixture
def drawn(rng):
    """Rows of three clusters and one in twenty from anywhere, shuffled; and their labels."""
    labels = rng.choice([0, 1, 2, -1], size=1200, p=[0.35, 0.3, 0.3, 0.05])
    rows = CENTRES[labels] + rng.normal(size=(1200, 2))
    anywhere = rng.uniform(-HALF, HALF, size=(1200, 2))
    return np.where(labels[:, None] == -1, anywhere, rows), labels


@pytest.fixture
def rows(drawn):
    return drawn[0]


def model_of(**settings):
    return GaussianMixture(**{"n_components": 3, "noise": True, "random_state": 0} | settings)


def assert_same(found, expected):
    for name in ARRAYS:
        assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in NUMBERS:
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("covariance_type", [*TYPES, "VEE", "EII"])
def test_noise_is_told_from_clusters(drawn, covariance_type):
    rows, labels = drawn
    model = model_of(covariance_type=covariance_type).fit(rows)
    assert adjusted_rand_score(labels, model.predict(rows)) > 0.98
    assert model.noise_weight_ == pytest.approx(0.05, abs=0.015)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1.0, abs=1e-12)
    # the box of sixty rows, of which those at its ends are left out
    assert 0.7 < model.noise_volume_ / (2.0 * HALF) ** 2 < 1.0
    assert model.noise_log_volume_ == pytest.approx(np.log(model.noise_volume_))
    assert np.diff(model.lower_bounds_).min(initial=0.0) > -1e-7
    found = model.means_[[((model.means_ - c) ** 2).sum(axis=1).argmin() for c in CENTRES]]
    assert_allclose(found, CENTRES, atol=0.25)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_scores_are_the_densities_of_scipy(rows, covariance_type):
    model = model_of(covariance_type=covariance_type).fit(rows)
    matrices = model._parameters().matrices
    densities = [
        weight * multivariate_normal(mean, matrix).pdf(rows)
        for weight, mean, matrix in zip(model.weights_, model.means_, matrices, strict=True)
    ]
    densities.append(np.full(len(rows), model.noise_weight_ / model.noise_volume_))
    total = np.sum(densities, axis=0)
    assert_allclose(model.score_samples(rows), np.log(total), rtol=1e-11)
    shares = model.predict_proba(rows)
    assert shares.shape == (len(rows), 4)
    assert_allclose(shares, np.transpose(densities) / total[:, None], atol=1e-11)
    labels = model.predict(rows)
    assert_array_equal(shares[np.arange(len(rows)), labels], shares.max(axis=1))  # -1 is the last


def test_a_far_row_is_noise_and_moves_nothing(rows):
    before = model_of().fit(rows)
    for far in (1e3, 1e6, 1e9):
        model = model_of().fit(np.vstack([rows, [[far, far]]]))
        assert model.predict([[far, far]]) == [-1]
        assert model.noise_volume_ == pytest.approx(before.noise_volume_, rel=0.2)
        order = [((model.means_ - mean) ** 2).sum(axis=1).argmin() for mean in before.means_]
        assert_allclose(model.means_[order], before.means_, atol=0.02)


def test_the_box_follows_principal_axes_where_that_is_smaller(rng):
    # ten times as long as wide, and aslant
    turned = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2.0)
    rows = (rng.uniform(-0.5, 0.5, size=(4000, 2)) * [10.0, 1.0]) @ turned.T
    model = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    assert model.noise_volume_ == pytest.approx(10.0, rel=0.02)


def test_a_volume_may_be_given(rows):
    model = model_of(noise=1e4).fit(rows)
    assert model.noise_volume_ == pytest.approx(1e4)
    assert model.aic(rows) == pytest.approx(
        -2.0 * model.score(rows) * len(rows) + 2.0 * (3 * 5 + 2 + 1)
    )
    boxed = model_of().fit(rows)
    assert boxed.bic(rows) == pytest.approx(
        -2.0 * boxed.score(rows) * len(rows) + np.log(len(rows)) * (3 * 5 + 2 + 2)
    )


def test_clusters_alone_have_no_noise(rng):
    rows = CENTRES[rng.integers(3, size=900)] + rng.normal(size=(900, 2))
    model, plain = model_of().fit(rows), model_of(noise=False).fit(rows)
    assert model.noise_weight_ < 0.002
    assert_allclose(np.sort(model.means_, axis=0), np.sort(plain.means_, axis=0), atol=0.02)
    assert not hasattr(plain, "noise_weight_")


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_saved_model_comes_back_with_its_bits(rows, covariance_type, tmp_path):
    model = model_of(covariance_type=covariance_type).fit(rows)
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_same(found, model)
    assert found.noise is True
    assert_array_equal(found.predict_proba(rows), model.predict_proba(rows))


def test_a_stopped_fit_goes_on_from_its_checkpoint_with_the_same_bits(rows, tmp_path, monkeypatch):
    settings = {"init_params": "random", "n_init": 2, "acceleration": "squarem"}
    whole = model_of(**settings).fit(rows)
    path = tmp_path / "run.ckpt"
    assert disturbed(lambda: model_of(**settings).fit(rows, checkpoint=path), 9, monkeypatch)
    assert_same(model_of(**settings).fit(rows, checkpoint=path), whole)


def test_chunks_files_and_single_precision(rows, tmp_path):
    expected = model_of().fit(rows)
    np.save(tmp_path / "rows.npy", rows)
    for data in (tmp_path / "rows.npy", lambda: iter(np.array_split(rows, 7))):
        assert_same(model_of().fit(data), expected)
    found = model_of().fit(rows.astype(np.float32))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-4)
    assert found.noise_weight_ == pytest.approx(expected.noise_weight_, abs=1e-3)


def test_a_weight_of_two_is_the_row_twice(rows, rng):
    weights = rng.integers(1, 3, len(rows))
    found = model_of(prior=None).fit(rows, sample_weight=weights)
    expected = model_of(prior=None).fit(np.repeat(rows, weights, axis=0))
    # the ends of the box are rows, and not weights, where few are left out
    assert found.noise_log_volume_ == pytest.approx(expected.noise_log_volume_, abs=0.1)
    assert found.noise_weight_ == pytest.approx(expected.noise_weight_, abs=2e-3)


def test_dask_partitions_are_fitted_as_the_rows_in_memory(rows):
    da = pytest.importorskip("dask.array")
    found, expected = model_of().fit(da.from_array(rows, chunks=(250, 2))), model_of().fit(rows)
    assert found.noise_log_volume_ == pytest.approx(expected.noise_log_volume_)
    assert_allclose(found.means_, expected.means_, rtol=1e-6, atol=1e-6)
    labels = found.predict(da.from_array(rows, chunks=(250, 2)))
    assert_array_equal(np.asarray(labels), expected.predict(rows))


def test_batches_lead_near_to_where_all_rows_do(rows):
    whole, model = model_of(prior=None).fit(rows), model_of(prior=None)
    for batch in np.array_split(rows, 12):
        model.partial_fit(batch)
    assert model.noise_weight_ == pytest.approx(whole.noise_weight_, abs=0.02)
    assert model.score(rows) > whole.score(rows) - 0.05
    assert np.isfinite(model.noise_log_volume_)


def test_warm_start_goes_on_from_the_end(rows):
    model = model_of(warm_start=True).fit(rows)
    weight = model.noise_weight_
    assert model.fit(rows).n_iter_ <= 2
    assert model.noise_weight_ == pytest.approx(weight, abs=1e-3)


def test_drawn_rows_are_of_components(rows):
    drawn, labels = model_of().fit(rows).sample(500)
    assert labels.min() == 0
    assert np.abs(drawn).max() < 15.0


def test_what_noise_cannot_be_is_said(rows):
    constant = np.column_stack([rows, np.ones(len(rows))])
    with pytest.raises(DataError, match="feature 2 has one value in all rows, so that noise"):
        model_of().fit(constant)
    with pytest.warns(DegenerateComponentWarning, match="feature 2 is constant"):
        assert model_of(noise=1e5).fit(constant).noise_volume_ == pytest.approx(1e5)
    for noise in (0.0, -1.0, np.nan, "yes", None):
        with pytest.raises(ValueError, match="noise"):
            model_of(noise=noise).fit(rows)
    fixed = {"means": "all"}
    with pytest.raises(ValueError, match="fixed parameters and noise are not fitted together"):
        model_of(fixed=fixed, means_init=CENTRES).fit(rows)


def test_every_row_noise_is_a_degenerate_fit_or_a_finite_one(rng):
    rows = rng.uniform(size=(200, 2))
    model = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    assert np.isfinite(model.lower_bound_)
    assert model.noise_weight_ > 0.5
