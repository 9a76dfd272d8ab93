"""`lower_bound_` of a Bayesian mixture never falls but by rounding, whatever rows and priors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fastgmm import BayesianGaussianMixture

TYPES = ("full", "tied", "diag", "spherical")
PRIORS = ("dirichlet_process", "dirichlet_distribution")


def rounding_of(model, dtype):
    """A rounding of the bound of one row.

    A log density is a sum of d squares and a constant. A sum of so many terms is wrong by (d + 4)
    units of rounding, 2^-24 or 2^-53, of their sizes: half the squares, d / 2 in the mean, and the
    constant, which is the bound and the squares.
    """
    d, unit = model.n_features_in_, np.finfo(dtype).eps / 2.0
    return (d + 4) * unit * (np.abs(model.lower_bounds_).max() + d)


def problem(seed):
    """Rows, weights and settings of any kind."""
    rng = np.random.default_rng(seed)
    n_rows, n_features = int(rng.integers(20, 300)), int(rng.integers(1, 7))
    centres = rng.normal(scale=rng.choice([0.5, 3.0, 10.0]), size=(4, n_features))
    rows = centres[rng.integers(4, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    rows *= 10.0 ** rng.integers(-2, 3, size=n_features)
    rows += rng.choice([0.0, 1.0, 100.0]) * rows.std(axis=0)
    weights = rng.gamma(1.0, size=n_rows) if rng.random() < 0.5 else None
    settings = {
        "n_components": int(rng.integers(1, 9)),
        "weight_concentration_prior": 10.0 ** rng.uniform(-3, 4),
        "mean_precision_prior": 10.0 ** rng.uniform(-3, 3),
        "degrees_of_freedom_prior": n_features - 1 + 10.0 ** rng.uniform(-2, 2),
        "reg_covar": float(rng.choice([0.0, 1e-6, 0.1])),
        "init_params": str(rng.choice(["auto", "random"])),
        "max_iter": 200,
        "random_state": 0,
    }
    return rows, weights, settings


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_bound_never_falls(covariance_type, dtype, acceleration):
    for seed in range(8):
        rows, weights, settings = problem(seed)
        for prior in PRIORS:
            model = BayesianGaussianMixture(
                covariance_type=covariance_type,
                weight_concentration_prior_type=prior,
                acceleration=acceleration,
                tol=1e-12,
                **settings,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of few passes, and of reg_covar beside rows
                model.fit(rows.astype(dtype), sample_weight=weights)
            falls = -np.diff(model.lower_bounds_, prepend=-np.inf)
            assert falls.max() <= rounding_of(model, dtype), (seed, prior)


def expecting(covariance_type, variance):
    """A prior of this variance, in the shape of a type."""
    matrix = variance * np.eye(2)
    return {
        "full": matrix,
        "tied": matrix,
        "diag": matrix.diagonal(),
        "spherical": variance,
    }[covariance_type]


def priors_of_any_size(covariance_type):
    for size in (1e-300, 1e-30, 1e-12, 1e12, 1e30, 1e300):
        yield {"weight_concentration_prior": size}
        yield {"mean_precision_prior": size}
    for size in (1e-100, 1e-12, 1e12, 1e100):
        yield {"covariance_prior": expecting(covariance_type, size)}
    for size in (1e12, 1e100):
        yield {"degrees_of_freedom_prior": size}
        settings = {"covariance_prior": expecting(covariance_type, size)}
        yield {"degrees_of_freedom_prior": size} | settings
    yield {"degrees_of_freedom_prior": 1.0 + 1e-12}
    for far in (1e4, 1e6, 1e7):
        yield {"mean_prior": [far, far]}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_bound_never_falls_under_priors_of_any_size(covariance_type, prior):
    # it fell by 2e-5 at a concentration of 1e12, and no component held rows at a precision of 1e30
    rng = np.random.default_rng(0)
    rows = np.repeat([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]], 100, axis=0) + rng.normal(size=(300, 2))
    for settings in priors_of_any_size(covariance_type):
        model = BayesianGaussianMixture(
            n_components=6,
            covariance_type=covariance_type,
            weight_concentration_prior_type=prior,
            random_state=0,
            **settings,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.filterwarnings("ignore", message=".*distance of mean_prior")
            model.fit(rows)
        assert model.converged_
        assert 1 <= model.n_active_ <= 6
        falls = -np.diff(model.lower_bounds_, prepend=-np.inf)
        rounding = rounding_of(model, np.float64)
        if "mean_prior" in settings:  # products of rows about far means: 12 digits of the bound
            rounding = 1e-12 * abs(model.lower_bound_)
        assert falls.max() <= rounding, settings
