"""The variational update: scikit-learn's where theirs is right, and a bound that never falls."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import betaln, gammaln
from sklearn.mixture import BayesianGaussianMixture as Theirs

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.em.acceleration import Acceleration
from fastgmm.mixture.posterior import Hyperparameters, Posterior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.sources import open_source

TYPES = ("full", "tied", "diag", "spherical", "tied-diagonal", "tied-spherical")
PROCESS = {True: "dirichlet_process", False: "dirichlet_distribution"}
ROUNDING = 1e-13  # of a bound: sums of the same terms in another order


def rows_of(rng, n_rows=300):
    centres = rng.normal(scale=4.0, size=(3, 3))
    return centres[rng.integers(3, size=n_rows)] + rng.normal(size=(n_rows, 3))


def rule_of(rows, covariance_type, is_process, reg_covar=0.0):
    """The rule with scikit-learn's default priors, but for the concentration."""
    known = family(covariance_type)
    covariance = np.array(known.structure.narrowed(np.cov(rows.T)))
    d = rows.shape[1]
    prior = Hyperparameters(
        known.structure,
        0.2,
        is_process,
        1.0,
        rows.mean(axis=0),
        float(d),
        covariance,
        known.constraint is not None,
    )
    return em.Variational(known, reg_covar, prior)


def statistics_of(rows, shares, structure):
    """What a pass would find with these responsibilities."""
    weight = shares.sum(axis=0)
    means = shares.T @ rows / weight[:, None]
    away = rows[:, None] - means
    scatter = np.einsum("ik,ika,ikb->kab", shares, away, away)
    second = {
        "full": scatter,
        "tied": scatter.sum(axis=0),
        "diagonal": np.einsum("kaa->ka", scatter),
        "spherical": np.einsum("kaa->k", scatter),
    }[structure]
    n_rows = len(rows)
    return SufficientStatistics(
        weight, np.zeros_like(means), second, 0.0, n_rows, float(n_rows), means, structure
    )


def shares_of(rng, n_components=6, n_rows=300):
    """Random responsibilities, the largest component first: sticks then stay as they are."""
    shares = rng.dirichlet(np.ones(n_components), size=n_rows)
    return shares[:, np.argsort(-shares.sum(axis=0))]


def started(rng, rows, covariance_type, is_process, reg_covar=0.0, acceleration=None):
    rule = rule_of(rows, covariance_type, is_process, reg_covar)
    found = statistics_of(rows, shares_of(rng), family(covariance_type).structure)
    return em.State(rule, rule.estimate(found, None), acceleration=acceleration)


def climbed(state, rows, tol=1e-12):
    source = open_source(rows)
    stopping = em.Stopping(tol, 3000)
    (found,) = em.run([state], lambda given: passes.statistics(source, given), stopping)
    return found


@pytest.mark.parametrize("reg_covar", [0.0, 0.1])
@pytest.mark.parametrize("is_process", [True, False])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_bound_never_falls(rng, covariance_type, is_process, reg_covar):
    rows = rows_of(rng)
    found = climbed(started(rng, rows, covariance_type, is_process, reg_covar), rows)
    assert found.outcome is em.Outcome.CONVERGED
    falls = -np.diff(found.trace)
    assert falls.max() < ROUNDING * abs(found.trace[-1])


def theirs_of(rows, covariance_type, is_process, reg_covar=0.0, **settings):
    return Theirs(
        n_components=6,
        covariance_type=covariance_type,
        reg_covar=reg_covar,
        weight_concentration_prior_type=PROCESS[is_process],
        weight_concentration_prior=0.2,
        random_state=0,
        **settings,
    ).fit(rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("is_process", [True, False])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_the_same_responsibilities_give_scikit_learns_posterior(
    rng, covariance_type, is_process, reg_covar
):
    rows, shares = rows_of(rng), shares_of(rng)
    rule = rule_of(rows, covariance_type, is_process, reg_covar)
    found = rule.estimate(statistics_of(rows, shares, rule.family.structure), None)
    theirs = theirs_of(rows, covariance_type, is_process, reg_covar, max_iter=1)
    theirs._m_step(rows, np.log(shares))
    # they add 10 eps to the weight of each component, some 50 rows
    assert_allclose(found.means, theirs.means_, rtol=1e-12, atol=1e-12)
    assert_allclose(found.covariances, theirs.covariances_, rtol=1e-12, atol=1e-12)
    assert_allclose(found.mean_precision, theirs.mean_precision_, rtol=1e-12)
    assert_allclose(found.degrees_of_freedom, theirs.degrees_of_freedom_, rtol=1e-12)
    assert_allclose(found.weight_concentration, theirs.weight_concentration_, rtol=1e-12)
    if covariance_type == "full":
        plain = Posterior(*(getattr(found, name) for name in FIELDS))
        source = open_source(rows)
        _, logs = theirs._e_step(rows)
        assert_allclose(passes.responsibilities(source, plain), np.exp(logs), atol=1e-12)
        mine = passes.log_likelihoods(source, plain)
        assert_allclose(mine, theirs.score_samples(rows), rtol=1e-12)


FIELDS = (
    "structure",
    "weights",
    "means",
    "covariances",
    "precisions_cholesky",
    "weight_concentration",
    "mean_precision",
    "degrees_of_freedom",
)


@pytest.mark.parametrize("is_process", [True, False])
def test_scikit_learns_bound_and_its_constants_are_ours(rng, is_process):
    rows = rows_of(rng)
    theirs = theirs_of(rows, "full", is_process, max_iter=5000, tol=1e-13)
    posterior = Posterior(
        family("full").structure,
        theirs.weights_,
        theirs.means_,
        theirs.covariances_,
        theirs.precisions_cholesky_,
        np.array(theirs.weight_concentration_),
        theirs.mean_precision_,
        theirs.degrees_of_freedom_,
    )
    rule = rule_of(rows, "full", is_process)
    (found,) = passes.statistics(open_source(rows), [posterior])
    mine = found.log_likelihood + rule.log_prior(posterior, 1.0)
    (n, d), k, before = rows.shape, 6, 3.0
    volume = np.linalg.slogdet(rule.hyperparameters.covariance)[1]
    halves = (before + 1.0 - np.arange(1, d + 1)) / 2.0
    constant = k * (before / 2 * volume - before * d / 2 * np.log(2.0) - gammaln(halves).sum())
    constant -= n * d / 2 * np.log(2.0 * np.pi)
    if is_process:
        constant -= k * betaln(1.0, 0.2)
    else:
        constant += gammaln(k * 0.2) - k * gammaln(0.2)
    assert_allclose(theirs.lower_bound_ + constant, mine, rtol=1e-10)


def test_sticks_come_in_the_order_of_their_sizes_where_that_raises_the_bound(rng):
    rows, shares = rows_of(rng), shares_of(rng)
    rule = rule_of(rows, "full", is_process=True)
    upside_down = statistics_of(rows, shares[:, ::-1], "full")
    found = rule.estimate(upside_down, None)
    assert np.all(np.diff(found.mean_precision) <= 0.0)
    sticks = naive.sticks(upside_down.weight, 0.2)
    plain = replace(
        found,
        weights=naive.expected_weights(sticks),
        weight_concentration=sticks,
        **{
            name: getattr(found, name)[::-1]
            for name in (
                "means",
                "covariances",
                "precisions_cholesky",
                "mean_precision",
                "degrees_of_freedom",
            )
        },
    )
    source = open_source(rows)
    first, second = passes.statistics(source, [found, plain])
    bounds = (
        first.mean_log_likelihood + rule.log_prior(found, 300.0),
        second.mean_log_likelihood + rule.log_prior(plain, 300.0),
    )
    assert bounds[0] > bounds[1]
    symmetric = rule_of(rows, "full", is_process=False)
    assert np.all(np.diff(symmetric.estimate(upside_down, None).mean_precision) >= 0.0)


@pytest.mark.parametrize("is_process", [True, False])
# balls of one size on these rows have several places to end in
@pytest.mark.parametrize("covariance_type", TYPES[:-1])
def test_extrapolations_lead_to_the_same_place_in_fewer_passes(rng, covariance_type, is_process):
    # overlapping components and a process of many: slow
    rows = rng.normal(size=(300, 3)) * [1.0, 2.0, 3.0]
    seed = int(rng.integers(2**31))
    plain, quick = (
        climbed(
            started(np.random.default_rng(seed), rows, covariance_type, is_process, 0.0, each),
            rows,
            tol=1e-10,
        )
        for each in (None, Acceleration("squarem"))
    )
    assert np.diff(quick.trace).min() > -ROUNDING * abs(quick.trace[-1])
    assert len(quick.trace) < len(plain.trace)
    # what is left at 1e-10 a pass, of some hundred passes
    assert quick.trace[-1] > plain.trace[-1] - 1e-6


@pytest.mark.parametrize("reg_covar", [0.0, 0.1])
@pytest.mark.parametrize("is_process", [True, False])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_remembered_statistics_lead_to_the_same_posterior(
    rng, covariance_type, is_process, reg_covar
):
    rows = rows_of(rng)
    state = started(rng, rows, covariance_type, is_process, reg_covar)
    found = climbed(state, rows).parameters
    rule = state.rule
    again = rule.estimate(rule.remembered(found, 300.0), None)
    for name in FIELDS[1:]:
        expected = getattr(found, name)
        scale = np.abs(expected).max()
        assert_allclose(getattr(again, name), expected, rtol=1e-9, atol=1e-11 * scale)


def test_two_components_in_one_cluster_are_merged_where_that_raises_the_bound(rng):
    rows = rows_of(rng)
    labels = np.repeat([0, 1], 150)  # of the first rows and the others: the same clusters
    shares = np.eye(2)[labels]
    rule = rule_of(rows, "full", is_process=True)
    found = rule.estimate(statistics_of(rows, shares, "full"), None)
    assert rule.near(found) == [(0, 1)]
    merged = rule.merged(found, [(0, 1)])
    single = rule.estimate(
        statistics_of(rows, np.eye(2)[np.zeros(300, int)] + 1e-300, "full"), None
    )
    assert_allclose(merged.means[0], single.means[0], rtol=1e-10)
    assert_allclose(merged.covariances[0], single.covariances[0], rtol=1e-10)
    assert_allclose(merged.mean_precision, [301.0, 1.0], rtol=1e-12)
    assert rule.near(merged) == []


@pytest.mark.parametrize("is_process", [True, False])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_pairs_that_are_merged_at_once_are_those_merged_in_turn(rng, covariance_type, is_process):
    rows = rows_of(rng)
    rule = rule_of(rows, covariance_type, is_process)
    shares = shares_of(rng)
    found = rule.estimate(statistics_of(rows, shares, rule.family.structure), None)
    both = rule.merged(found, [(0, 3), (1, 4)])
    joined = shares.copy()
    joined[:, 0], joined[:, 1] = shares[:, 0] + shares[:, 3], shares[:, 1] + shares[:, 4]
    joined[:, 3:5] = 1e-300
    expected = rule.estimate(statistics_of(rows, joined, rule.family.structure), None)
    for name in ("means", "covariances", "mean_precision"):
        scale = np.abs(getattr(expected, name)).max()
        assert_allclose(getattr(both, name), getattr(expected, name), atol=1e-10 * scale)
