"""The M-step of factor analysers and of principal components, beside others and beside matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA, FactorAnalysis

from fastgmm import GaussianMixture, em, passes
from fastgmm.covariance import FAMILIES, family, structure_of
from fastgmm.covariance.factor_analysers import factor_analysers, most_factors
from fastgmm.mixture import factored
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source, with_weights


def drawn(rng, n_rows=600, n_components=3, n_features=8, n_factors=2):
    loadings = rng.normal(size=(n_components, n_features, n_factors))
    own = rng.uniform(0.2, 1.0, (n_components, n_features))
    means = 3.0 * rng.normal(size=(n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    shared = np.einsum("njq,nq->nj", loadings[labels], rng.normal(size=(n_rows, n_factors)))
    return means[labels] + shared + np.sqrt(own[labels]) * rng.normal(size=(n_rows, n_features))


def start_of(rng, rows, n_components, n_factors):
    word = f"factors-{n_factors}"
    n_features = rows.shape[1]
    loadings = rng.normal(size=(n_components, n_features, n_factors))
    own = np.full((n_components, n_features, 1), rows.var(axis=0).mean())
    means = rows[rng.choice(len(rows), n_components, replace=False)]
    weights = np.full(n_components, 1.0 / n_components)
    return Parameters.from_covariances(word, weights, means, np.concatenate([loadings, own], 2))


def test_a_step_is_the_regression_of_whole_covariances(rng):
    rows, n_factors = drawn(rng), 2
    before = start_of(rng, rows, 3, n_factors)
    rule = em.Maximisation(factor_analysers(n_factors), 1e-6)
    (found,) = passes.statistics(open_source(rows), [before])
    after = rule.estimate(found, before)
    shares = passes.responsibilities(open_source(rows), before)
    directions, left = factored.directions(before.precisions_cholesky)
    for k in range(3):
        share = shares[:, k] / shares[:, k].sum()
        mean = share @ rows
        whole = (rows - mean).T @ ((rows - mean) * share[:, None])
        b = directions[k]
        loadings = whole @ b.T @ np.linalg.inv(left[k] + b @ whole @ b.T)
        own = np.diag(whole - loadings @ b @ whole)
        assert_allclose(after.means[k], mean, rtol=1e-10)
        assert_allclose(after.covariances[k, :, :-1], loadings, atol=1e-9)
        assert_allclose(after.covariances[k, :, -1], own, atol=1e-9)


@pytest.mark.parametrize("floor", [1e-9, 0.3])
def test_the_likelihood_never_falls_with_a_floor_or_without(rng, floor):
    rows = drawn(rng)
    rule, source = em.Maximisation(factor_analysers(3), floor), open_source(rows)
    for acceleration in (None, em.acceleration.Acceleration("squarem")):
        state = em.State(rule, start_of(rng, rows, 4, 3), acceleration=acceleration)
        (end,) = em.run(
            [state], lambda these: passes.statistics(source, these), em.Stopping(0.0, 60, "change")
        )
        assert np.diff(end.trace).min() > -1e-12
        assert end.parameters.covariances[..., -1].min() >= floor


def test_one_component_is_scikit_learns_factor_analysis(rng):
    rows = drawn(rng, 800, 1, 9, 3)
    theirs = FactorAnalysis(3, tol=1e-13, max_iter=50_000, svd_method="lapack").fit(rows)
    ours = GaussianMixture(
        covariance_type="factors", n_factors=3, tol=1e-13, max_iter=20_000, reg_covar=1e-12
    ).fit(rows)
    assert abs(ours.score(rows) - theirs.score(rows)) < 1e-8
    assert_allclose(ours.covariances_[0], theirs.get_covariance(), atol=1e-4)
    assert_allclose(ours.noise_variance_[0], theirs.noise_variance_, atol=1e-4)
    assert_allclose(np.abs(ours.components_[0]), np.abs(theirs.components_), atol=1e-3)


def test_a_component_without_rows_stays(rng):
    rows = drawn(rng)
    before = start_of(rng, rows, 3, 2)
    means = np.array(before.means)
    means[1] = 1e6
    before = Parameters.from_covariances("factors-2", before.weights, means, before.covariances)
    (found,) = passes.statistics(open_source(rows), [before])
    after = em.Maximisation(factor_analysers(2), 1e-6).estimate(found, before)
    assert after.weights[1] == 0.0
    assert_array_equal(after.covariances[1], before.covariances[1])
    assert_array_equal(after.means[1], before.means[1])


def test_a_weight_is_as_many_rows(rng):
    rows = drawn(rng, 300)
    weights = rng.integers(0, 3, 300)
    before, rule = start_of(rng, rows, 2, 2), em.Maximisation(factor_analysers(2), 1e-6)
    (weighted,) = passes.statistics(with_weights(open_source(rows), weights), [before])
    (repeated,) = passes.statistics(open_source(np.repeat(rows, weights, axis=0)), [before])
    one, other = rule.estimate(weighted, before), rule.estimate(repeated, before)
    assert_allclose(one.covariances, other.covariances, rtol=1e-10, atol=1e-12)


def test_a_step_needs_loadings_to_go_on_from(rng):
    rows = drawn(rng, 100)
    (found,) = passes.statistics(open_source(rows), [start_of(rng, rows, 2, 2)])
    with pytest.raises(ValueError, match="go on from loadings"):
        em.Maximisation(factor_analysers(2), 1e-6).estimate(found, None)


def test_degrees_of_freedom():
    assert factor_analysers(3).n_parameters(4, 10) == 4 * (30 - 3 + 10 + 10) + 3
    assert family("ppca", 3).n_parameters(4, 10) == 4 * (30 - 3 + 1 + 10) + 3
    # all but one axis: whatever a matrix has
    assert family("ppca", 9).n_parameters(1, 10) == FAMILIES["full"].n_parameters(1, 10)
    assert [most_factors(d) for d in (1, 2, 3, 4, 10)] == [0, 1, 2, 2, 5]


def test_a_family_with_factors_asks_for_their_number():
    for name in ("factors", "ppca"):
        with pytest.raises(ValueError, match="needs a number of factors"):
            family(name)
    assert structure_of("ppca") == "full"


def test_principal_components_have_their_closed_form(rng):
    rows = drawn(rng, 500, 1, 7, 2)
    model = GaussianMixture(covariance_type="ppca", n_factors=3, reg_covar=0.0).fit(rows)
    variances = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    own = variances[3:].mean()
    assert_allclose(model.noise_variance_, own, rtol=1e-10)
    lengths = (model.components_[0] ** 2).sum(axis=1)
    assert_allclose(lengths, variances[:3] - own, rtol=1e-9)
    whole = model.components_[0].T @ model.components_[0] + own * np.eye(7)
    assert_allclose(model.covariances_[0], whole, atol=1e-10)
    theirs = PCA(3).fit(rows)  # divides by n - 1
    log_det = np.log(variances[:3]).sum() + 4 * np.log(own)
    assert_allclose(model.score(rows), -0.5 * (7 * np.log(2 * np.pi) + log_det + 7), rtol=1e-12)
    assert_allclose(model.noise_variance_[0] * 500 / 499, theirs.noise_variance_, rtol=1e-10)


def test_principal_components_but_for_one_are_a_matrix(rng):
    rows = drawn(rng, 300, 2, 4, 2)
    start = {"means_init": rows[:2], "weights_init": [0.5, 0.5], "random_state": 0}
    start["precisions_init"] = np.stack([np.eye(4)] * 2)
    one = GaussianMixture(2, covariance_type="ppca", n_factors=3, **start).fit(rows)
    other = GaussianMixture(2, covariance_type="full", **start).fit(rows)
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-9)
    assert_allclose(one.covariances_, other.covariances_, atol=1e-5)
