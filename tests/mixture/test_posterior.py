"""What is known after the rows: exact for one component, and the bound against a naive twin."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.special import digamma, gammaln, logsumexp

from fastgmm import passes
from fastgmm.kernels.log_gamma import above_tangent
from fastgmm.mixture.posterior import Hyperparameters, Posterior
from fastgmm.mixture.structure import DIAGONAL, FULL, SPHERICAL, STRUCTURES, TIED
from fastgmm.sources import open_source

mpmath.mp.dps = 40


def prior_of(rng, structure, n_features, **changes):
    """A prior with nothing in it that is 0 or 1."""
    structure = STRUCTURES[structure]
    root = rng.normal(size=(n_features, n_features))
    matrix = root @ root.T + np.eye(n_features)
    settings = {
        "concentration": 0.7,
        "is_process": False,
        "mean_precision": 0.3,
        "mean": rng.normal(size=n_features),
        "degrees_of_freedom": n_features + 0.5,
        "covariance": np.array(structure.narrowed(matrix)),
    }
    return Hyperparameters(structure, **settings | changes)


def sums_of(structure, rows, shares):
    """Sums of rows that belong to components by shares, about the means, and these."""
    weight = shares.sum(axis=0)
    means = shares.T @ rows / weight[:, None]
    away = rows[:, None] - means
    scatter = np.einsum("ik,ika,ikb->kab", shares, away, away)
    diagonal = np.einsum("kaa->ka", scatter)
    kept = {
        FULL: scatter,
        TIED: scatter.sum(axis=0),
        DIAGONAL: diagonal,
        SPHERICAL: diagonal.sum(axis=1),
    }
    return weight, np.zeros_like(means), kept[structure], means


def bound_of(prior, posterior, rows):
    """The lower bound of the log evidence of all rows, by a pass of the kernel."""
    (found,) = passes.statistics(open_source(rows), [posterior])
    return found.log_likelihood - prior.divergence(posterior)


def log_evidence(prior, rows):
    """Log evidence of one component in 40 digits, a closed form (Bishop 2006, exercise 10.16)."""
    n_rows, n_features = rows.shape
    mp = mpmath.mpf
    structure, before = prior.structure, mp(float(prior.degrees_of_freedom))
    after = before + n_rows
    precision = mp(float(prior.mean_precision))
    x = mpmath.matrix(rows.tolist())
    mean = mpmath.matrix([sum(x[:, j]) / n_rows for j in range(n_features)])
    scatter = mpmath.zeros(n_features)
    for i in range(n_rows):
        away = x[i, :].T - mean
        scatter += away * away.T
    away = mean - mpmath.matrix(prior.mean.tolist())
    scatter += precision * n_rows / (precision + n_rows) * (away * away.T)
    found = mp(n_features) / 2 * mpmath.log(precision / (precision + n_rows))
    if structure in (FULL, TIED):
        old = mpmath.matrix(prior.covariance.tolist())

        def log_gamma(degrees):
            return sum(mpmath.loggamma((degrees - i) / 2) for i in range(n_features))

        found -= mp(n_rows * n_features) / 2 * mpmath.log(mpmath.pi)
        found += log_gamma(after) - log_gamma(before)
        found += before / 2 * mpmath.log(mpmath.det(old))
        return found - after / 2 * mpmath.log(mpmath.det(old + scatter))
    squares = [scatter[j, j] for j in range(n_features)]
    size = 1  # features per variance
    old = [mp(float(each)) for each in np.atleast_1d(prior.covariance)]
    if structure is SPHERICAL:
        size, squares, old = n_features, [sum(squares)], [old[0] * n_features]
    found -= mp(n_rows * n_features) / 2 * mpmath.log(mpmath.pi)
    for square, each in zip(squares, old, strict=True):
        found += mpmath.loggamma(size * after / 2) - mpmath.loggamma(size * before / 2)
        found += size * before / 2 * mpmath.log(each)
        found -= size * after / 2 * mpmath.log(each + square)
    return found


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_the_bound_of_one_component_is_the_evidence(rng, structure, n_features):
    rows = rng.normal(size=(40, n_features)) + 3.0
    prior = prior_of(rng, structure, n_features)
    sums = sums_of(prior.structure, rows, np.ones((40, 1)))
    found = bound_of(prior, prior.posterior(*sums), rows)
    exact = log_evidence(prior, rows)
    assert abs(float((mpmath.mpf(found) - exact) / exact)) < 1e-12


@pytest.mark.parametrize("strength", [1.0, 1e12])
@pytest.mark.parametrize("n_features", [1, 3])
def test_the_predictive_density_of_one_component_is_a_ratio_of_evidences(
    rng, structure, n_features, strength
):
    rows, new = rng.normal(size=(30, n_features)), rng.normal(scale=4.0, size=(5, n_features))
    prior = prior_of(rng, structure, n_features)
    prior = replace(
        prior,
        degrees_of_freedom=strength * prior.degrees_of_freedom,
        covariance=strength * prior.covariance,
    )
    sums = sums_of(prior.structure, rows, np.ones((30, 1)))
    found = prior.posterior(*sums).log_predictive(new)
    before = log_evidence(prior, rows)
    exact = [float(log_evidence(prior, np.vstack([rows, row])) - before) for row in new]
    assert_allclose(found, exact, rtol=1e-11)


@pytest.mark.parametrize("is_process", [False, True])
def test_the_bound_of_several_components_agrees_with_a_naive_one(rng, structure, is_process):
    rows = rng.normal(size=(50, 3)) * 2.0
    prior = prior_of(rng, structure, 3, is_process=is_process)
    sums = sums_of(prior.structure, rows, rng.dirichlet(np.ones(4), size=50))
    posterior = prior.posterior(*sums)
    # expected logarithms, term by term; for every structure as variances or matrices
    degrees = np.broadcast_to(posterior.degrees_of_freedom, 4)
    matrices = np.linalg.inv(posterior.matrices) / degrees[:, None, None]  # of Wishart matrices
    shapes = {
        "full": lambda nu: np.array([(nu - i) / 2 for i in range(3)]),
        "tied": lambda nu: np.array([(nu - i) / 2 for i in range(3)]),
        "diagonal": lambda nu: np.array([nu / 2] * 3),
        "spherical": lambda nu: np.array([3 * nu / 2] * 3),
    }[structure]
    logs = np.empty((50, 4))
    for k in range(4):
        away = rows - posterior.means[k]
        distances = np.einsum("ia,ab,ib->i", away, degrees[k] * matrices[k], away)
        log_volume = digamma(shapes(degrees[k])).sum() + np.linalg.slogdet(2 * matrices[k])[1]
        if structure == "spherical":
            log_volume -= 3 * np.log(3)
        logs[:, k] = 0.5 * (log_volume - 3 * np.log(2 * np.pi) - distances)
        logs[:, k] -= 0.5 * 3 / posterior.mean_precision[k]
    logs += naive.expected_log_weights(posterior.weight_concentration)
    expected = logsumexp(logs, axis=1).sum() - prior.divergence(posterior)
    assert_allclose(bound_of(prior, posterior, rows), expected, rtol=1e-12)


def log_weights_of(concentration):
    """Those of a posterior with this concentration, without what else is in its log weights."""
    ones = np.ones(concentration.shape[-1])
    posterior = Posterior(SPHERICAL, ones, ones[:, None], ones, ones, concentration, ones, ones)
    return posterior.log_weights - 0.5 * (digamma(0.5) - np.log(0.5) - 1.0)


def test_expected_weights_are_those_of_drawn_ones(rng):
    concentration = np.array([[3.0, 1.5, 2.0], [1.0, 2.5, 0.5]])
    sticks = rng.beta(*concentration, size=(400_000, 3))
    left = np.cumprod(np.column_stack([np.ones(len(sticks)), 1.0 - sticks[:, :-1]]), axis=1)
    weights = sticks * left
    means = weights.mean(axis=0)
    # six standard errors
    assert_allclose(naive.expected_weights(concentration), means / means.sum(), atol=6 * 5e-4)
    logs = np.log(weights)
    error = 6.0 * logs.std(axis=0) / np.sqrt(len(sticks))
    assert np.all(np.abs(log_weights_of(concentration) - logs.mean(axis=0)) < error)
    drawn = np.log(rng.dirichlet(concentration[0], size=400_000))
    error = 6.0 * drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.all(np.abs(log_weights_of(concentration[0]) - drawn.mean(axis=0)) < error)


@pytest.mark.parametrize("is_process", [False, True])
def test_weights_and_their_logarithms_agree_with_naive_ones(rng, is_process):
    for n_components in (1, 2, 7):
        prior = prior_of(rng, SPHERICAL, 1, is_process=is_process)
        rows = np.sort(rng.gamma(0.1, 100.0, size=n_components))[::-1]
        nothing = np.zeros((n_components, 1))
        found = prior.posterior(rows, nothing, rows, nothing)
        expected = prior.concentration + rows
        if is_process:
            expected = naive.sticks(rows, prior.concentration)
        concentration = found.weight_concentration
        assert_allclose(concentration, expected, rtol=1e-15)
        assert_allclose(found.weights, naive.expected_weights(expected), rtol=1e-14)
        logs = naive.expected_log_weights(expected)
        assert_allclose(log_weights_of(concentration), logs, rtol=1e-14, atol=1e-14)


def test_the_prior_itself_does_not_differ_from_itself(rng, structure):
    for is_process in (False, True):
        prior = prior_of(rng, structure, 3, is_process=is_process)
        nothing = np.zeros(4)
        scatter = np.zeros(prior.structure.shape(4, 3))
        empty = prior.posterior(nothing, np.zeros((4, 3)), scatter, np.zeros((4, 3)))
        assert abs(prior.divergence(empty)) < 1e-12
        assert_allclose(empty.means, np.tile(prior.mean, (4, 1)), rtol=1e-15)


def test_the_divergence_is_positive_and_the_least_bound_is_below_the_evidence(rng, structure):
    prior = prior_of(rng, structure, 2)
    rows = rng.normal(size=(25, 2))
    evidence = float(log_evidence(prior, rows))
    sums = sums_of(prior.structure, rows, np.ones((25, 1)))
    for _ in range(5):
        weight, first, second, means = sums
        second = second * rng.uniform(0.5, 2.0)
        moved = 1.3 * weight, first, second, means + rng.normal(size=(1, 2))
        posterior = prior.posterior(*moved)
        assert prior.divergence(posterior) > 0.0
        assert bound_of(prior, posterior, rows) < evidence


def exact_divergence(prior, found):
    """The same in 40 digits, of the numbers as they stand in double precision."""
    mp, structure = mpmath.mpf, prior.structure
    n_components, d = found.means.shape
    total = mp(0)

    def above(at, touching):
        at, touching = mp(float(at)), mp(float(touching))
        tangent = mpmath.digamma(touching) * (at - touching)
        return mpmath.loggamma(at) - mpmath.loggamma(touching) - tangent

    if prior.is_process:
        for a, b in found.weight_concentration.T:
            total += above(1.0, a) + above(prior.concentration, b)
            total -= above(mp(1) + mp(prior.concentration), mp(float(a)) + mp(float(b)))
    else:
        each = [mp(float(a)) for a in found.weight_concentration]
        total += sum(above(prior.concentration, a) for a in each)
        total -= above(n_components * mp(prior.concentration), sum(each))
    before = mp(float(prior.mean_precision))
    factors = found.precisions_cholesky
    matrices = {
        "spherical": lambda k: mpmath.eye(d) * mp(float(factors[k])),
        "diagonal": lambda k: mpmath.diag([mp(float(each)) for each in factors[k]]),
        "tied": lambda k: mpmath.matrix(factors.tolist()),
        "full": lambda k: mpmath.matrix(factors[k].tolist()),
    }[structure]
    for k in range(n_components):
        ratio = before / mp(float(found.mean_precision[k]))
        away = mpmath.matrix(found.means[k].tolist()) - mpmath.matrix(prior.mean.tolist())
        whitened = matrices(k).T * away
        total += (d * (ratio - 1 - mpmath.log(ratio)) + before * (whitened.T * whitened)[0]) / 2
    old = mp(float(prior.degrees_of_freedom))
    for k in range(1 if structure is TIED else n_components):
        new = mp(float(np.atleast_1d(found.degrees_of_freedom)[k]))
        covariance = np.asarray(prior.covariance / prior.degrees_of_freedom)
        if structure in (FULL, TIED):
            expected = mpmath.matrix(covariance.tolist())
        else:
            variances = np.broadcast_to(covariance, d)
            expected = mpmath.diag([mp(float(each)) for each in variances])
        product = matrices(k).T * expected * matrices(k)
        trace = sum(product[j, j] for j in range(d))
        loss = trace - mpmath.log(mpmath.det(product)) - d
        ratio = new / old - 1
        total += (old * loss - d * old * (ratio - mpmath.log1p(ratio))) / 2
        if structure is SPHERICAL:
            total += above(d * old / 2, d * new / 2)
        else:
            steps = [0] * d if structure is DIAGONAL else range(d)
            total += sum(above((old - i) / 2, (new - i) / 2) for i in steps)
    return total


@pytest.mark.parametrize("is_process", [False, True])
@pytest.mark.parametrize("large", ["concentration", "mean_precision", "degrees_of_freedom"])
def test_large_priors_leave_the_digits_of_the_divergence(rng, structure, is_process, large):
    # written as differences of log Gamma it was wrong by 0.02 at 1e12, and by 1e16 at 1e30
    rows = rng.normal(size=(50, 3))
    plain = prior_of(rng, structure, 3, is_process=is_process)
    sums = sums_of(plain.structure, rows, rng.dirichlet(np.ones(4), size=50))
    for size in (1e6, 1e12, 1e15):
        changes = {large: size}
        if large == "degrees_of_freedom":
            changes["covariance"] = size * plain.covariance
        prior = replace(plain, **changes)
        found = prior.posterior(*sums)
        exact = exact_divergence(prior, found)
        # a rounding of terms that sum to the weight of the rows, 50, times features
        assert abs(float(mpmath.mpf(prior.divergence(found)) - exact)) < 1e-13 * (150 + abs(exact))


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e8, 1e10])
@pytest.mark.parametrize("kind", [TIED, FULL])
def test_a_far_mean_leaves_the_digits_of_the_other_directions(rng, kind, distance):
    # of the sum of both, 1e-16 times the square of the distance is left: nothing at 1e8
    rows = rng.normal(size=(40, 3))
    prior = prior_of(rng, kind, 3, mean=distance * rng.normal(size=3))
    weight, first, scatter, means = sums_of(kind, rows, np.ones((40, 1)))
    found = prior.posterior(weight, first, scatter, means)
    factor = mpmath.matrix(np.reshape(found.precisions_cholesky, (3, 3)).tolist())
    away = mpmath.matrix(means[0].tolist()) - mpmath.matrix(prior.mean.tolist())
    part = mpmath.mpf(float(prior.mean_precision)) * 40 / (mpmath.mpf(prior.mean_precision) + 40)
    total = mpmath.matrix((np.reshape(scatter, (3, 3))).tolist())
    total += mpmath.matrix(prior.covariance.tolist()) + part * (away * away.T)
    product = factor.T * (total / (mpmath.mpf(prior.degrees_of_freedom) + 40)) * factor
    for i in range(3):
        for j in range(3):
            # the direction of the distance is rounded, and so what it has across the others
            assert abs(float(product[i, j]) - (i == j)) < 1e-12 + 1e-15 * distance


def test_what_components_hold_is_told_beside_priors_of_any_size(rng, structure):
    rows = rng.normal(size=(50, 2))
    sums = sums_of(STRUCTURES[structure], rows, rng.dirichlet(np.ones(3), size=50))
    for is_process in (False, True):
        held = np.sort(sums[0])[::-1] if is_process else sums[0]
        for size in (1e-300, 1.0, 1e30, 1e300):
            prior = prior_of(rng, structure, 2, is_process=is_process, mean_precision=size)
            found = prior.posterior(*sums)
            assert_allclose(prior.weight(found), held, rtol=1e-13)


def log_evidence_of_labels(prior, rows, labels):
    """Log density of rows whose components are known and share precisions, by quadrature.

    Given a precision, the means are integrated out in closed form; it is gamma distributed.
    """
    n_features = rows.shape[1]
    covariance = np.broadcast_to(prior.covariance, n_features)
    shared = prior.structure == SPHERICAL
    groups = [slice(None)] if shared else [slice(j, j + 1) for j in range(n_features)]
    total = 0.0
    for its in groups:
        size = n_features if shared else 1
        shape, rate = 0.5 * size * prior.degrees_of_freedom, 0.5 * covariance[its].sum()
        squares, logs = 0.0, 0.0
        for k in range(labels.max() + 1):
            own = rows[labels == k][:, its]
            n, mean = len(own), own.mean(axis=0)
            share = prior.mean_precision * n / (prior.mean_precision + n)
            squares += ((own - mean) ** 2).sum() + share * ((mean - prior.mean[its]) ** 2).sum()
            logs += 0.5 * size * np.log(prior.mean_precision / (prior.mean_precision + n))

        def log_joint(log_precision, shape=shape, rate=rate, squares=squares, size=size):
            """Of the rows and of the logarithm of the precision, but for constants."""
            power = shape + 0.5 * size * len(rows)
            return power * log_precision - (rate + 0.5 * squares) * np.exp(log_precision)

        mode = np.log((shape + 0.5 * size * len(rows)) / (rate + 0.5 * squares))
        peak = log_joint(mode)
        area, _ = quad(
            lambda at, top=peak: np.exp(log_joint(at) - top), mode - 8.0, mode + 8.0, epsabs=1e-13
        )
        constant = (
            shape * np.log(rate) - gammaln(shape) - 0.5 * size * len(rows) * np.log(2 * np.pi)
        )
        total += peak + np.log(area) + constant + logs
    return total


@pytest.mark.parametrize("structure", [SPHERICAL, DIAGONAL])
def test_one_precision_of_all_components_has_the_evidence_of_an_integral(rng, structure):
    """EII and EEI: with known labels the posterior is exact, and so is the bound."""
    prior = prior_of(rng, structure, 3, is_common=True)
    labels = np.arange(40) % 3
    rows = rng.normal(size=(40, 3)) * [1.0, 2.0, 0.5] + labels[:, None]
    posterior = prior.posterior(*sums_of(structure, rows, np.eye(3)[labels]))
    covariances = posterior.variances
    assert_array_equal(covariances, np.broadcast_to(covariances[0], covariances.shape))
    away = (rows - posterior.means[labels]) ** 2 / covariances[labels]
    volumes = np.log(covariances).sum(axis=1) + 3 * np.log(2 * np.pi)
    constants = posterior.log_weights - naive.expected_log_weights(posterior.weight_concentration)
    of_rows = (constants - 0.5 * volumes)[labels].sum() - 0.5 * away.sum()
    each, before = posterior.weight_concentration, prior.concentration
    weights = above_tangent(before, each).sum() - above_tangent(3 * before, each.sum())
    found = of_rows - (prior.divergence(posterior) - weights)
    assert found == pytest.approx(log_evidence_of_labels(prior, rows, labels), rel=1e-11)


def test_one_precision_of_one_feature_is_that_of_tied_components(rng):
    rows, shares = rng.normal(size=(50, 1)), rng.dirichlet(np.ones(4), size=50)
    tied = prior_of(rng, TIED, 1)
    expected = tied.posterior(*sums_of(TIED, rows, shares))
    for structure in (DIAGONAL, SPHERICAL):
        covariance = tied.covariance[0] if structure == DIAGONAL else tied.covariance[0, 0]
        prior = replace(tied, structure=structure, covariance=covariance, is_common=True)
        found = prior.posterior(*sums_of(structure, rows, shares))
        assert_allclose(np.ravel(found.covariances), expected.covariances[0, 0], rtol=1e-13)
        bounds = bound_of(prior, found, rows), bound_of(tied, expected, rows)
        assert bounds[0] == pytest.approx(bounds[1], rel=1e-12)
