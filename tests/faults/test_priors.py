"""Priors of a Bayesian mixture that are none: a sentence each, and nothing is lost."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fastgmm import BayesianGaussianMixture
from fastgmm.errors import DataError, DegenerateComponentWarning

TYPES = ("full", "tied", "diag", "spherical")
PRIORS = ("dirichlet_process", "dirichlet_distribution")
IS_MATRIX = {"full": True, "tied": True, "diag": False, "spherical": False}


@pytest.fixture
def rows(rng):
    """Three clusters of 100 rows."""
    centres = np.repeat([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]], 100, axis=0)
    return centres + rng.normal(size=(300, 2))


def bits(model):
    found = {name: value for name, value in vars(model).items() if name.endswith("_")}
    return {name: np.asarray(value).tobytes() for name, value in found.items()}


def kept(covariance_type, matrix):
    """What a type keeps of a matrix that is a multiple of the unit."""
    if IS_MATRIX[covariance_type]:
        return np.asarray(matrix)
    variances = np.diagonal(matrix)
    return variances if covariance_type == "diag" else np.array(variances[0])


def nones(covariance_type):
    """Settings that are no priors, and what is said of them."""
    unit, shape = np.eye(2), {"diag": r"\(2,\)", "spherical": r"\(\)"}.get(covariance_type, "")
    shape = shape or r"\(2, 2\)"
    name = f"'{covariance_type} covariance_prior'"
    numbers = "eigenvalue" if IS_MATRIX[covariance_type] else "variance"
    way = "leave it out for"
    for wrong in (np.ones(3), np.ones((3, 3)), np.ones((1, 2, 2))):
        said = rf"{name} should have the shape of {shape}, but got \(.*\)\. Give .*, or {way}"
        yield {"covariance_prior": wrong}, said
    for wrong in (-1.0, 0.0):
        said = rf"{name} should be .*positive.* It has the least {numbers} {wrong:g}; give .*{way}"
        yield {"covariance_prior": kept(covariance_type, wrong * unit)}, said
    for wrong in (np.nan, np.inf):
        said = f"covariance_prior contains (NaN|infinity), .* finite; {way}"
        yield {"covariance_prior": kept(covariance_type, np.full((2, 2), wrong))}, said
    if IS_MATRIX[covariance_type]:
        said = f"{name} should be symmetric, positive-definite. It has the least eigenvalue -1; "
        yield {"covariance_prior": [[1.0, 2.0], [2.0, 1.0]]}, said
        said = rf"{name} should be symmetric, .* It has 0\.2 and 0 at \(0, 1\) and \(1, 0\); give"
        yield {"covariance_prior": [[1.0, 0.2], [0.0, 1.0]]}, said
    for wrong in (1j * unit, [["a", "b"], ["c", "d"]], [[1.0, 2.0], [3.0]]):
        said = f"'covariance_prior' should hold real numbers, but is .*; {way}"
        yield {"covariance_prior": wrong}, said
    said = f"{name} over degrees_of_freedom_prior=2 .* 5e-301; .* between 1e-150 and 1e.150: scale"
    yield {"covariance_prior": kept(covariance_type, 1e-300 * unit)}, said
    for wrong in ([1.0], [[1.0, 2.0]], [1.0, 2.0, 3.0]):
        said = rf"'mean_prior' should have the shape of \(2,\), but got \(.*\)\. Give one .*{way}"
        yield {"mean_prior": wrong}, said
    for wrong in (np.nan, -np.inf):
        yield {"mean_prior": [wrong, 1.0]}, f"mean_prior contains (NaN|infinity), .* finite; {way}"
    yield {"mean_prior": ["a", "b"]}, f"'mean_prior' should hold real numbers, .*; {way}"
    for wrong in (1.0, 0.5):
        said = f"'degrees_of_freedom_prior' should be greater than 1, but got {wrong:.3f}.*; {way}"
        yield {"degrees_of_freedom_prior": wrong}, said
    for name in ("weight_concentration_prior", "mean_precision_prior", "degrees_of_freedom_prior"):
        for wrong in (0.0, -1.0, np.nan, np.inf, "a"):
            said = (
                rf"'{name}' .* must be a float in the range \(0\.0, inf\) or None\. Got {wrong!r}"
            )
            yield {name: wrong}, said
        said = f"'{name}' should be at most 1e.300, but got 1e.308: .*Give a smaller one"
        yield {name: 1e308}, said


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_priors_that_are_none_are_refused_whatever_the_type(rows, covariance_type, prior):
    own = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    model = BayesianGaussianMixture(n_components=3, random_state=0, **own).fit(rows)
    before, defaults = bits(model), model.get_params()
    for settings, said in nones(covariance_type):
        with pytest.raises(ValueError, match=said):
            model.set_params(**settings).fit(rows)
        assert bits(model) == before
        model.set_params(**{name: defaults[name] for name in settings})
    model.fit(rows)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_rows_that_are_too_few_are_refused_whatever_the_type(rows, covariance_type, prior):
    own = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    model = BayesianGaussianMixture(n_components=3, random_state=0, **own).fit(rows)
    before = bits(model)
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required"):
        model.fit(rows[:1])
    with pytest.raises(ValueError, match="n_components = 3, n_samples = 2"):
        model.fit(rows[:2])
    with pytest.raises(ValueError, match="n_components = 3, n_samples = 1"):
        model.fit(rows, sample_weight=np.arange(300) == 7)
    assert bits(model) == before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        model.fit(rows[:3])
    assert np.isfinite(model.lower_bound_)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_constant_features_under_any_prior(rows, covariance_type, prior):
    constant = np.column_stack([rows[:, 0], np.ones(300)])
    own = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    model = BayesianGaussianMixture(n_components=3, random_state=0, **own).fit(rows)
    before = bits(model)
    if covariance_type != "spherical":
        with pytest.raises(DataError, match=r"singular \(feature 1 .* give covariance_prior, or"):
            model.set_params(reg_covar=0.0).fit(constant)
        assert bits(model) == before
    with pytest.warns(DegenerateComponentWarning, match="feature 1 is constant, .*: leave it out"):
        model.set_params(reg_covar=1e-6).fit(constant)
    assert np.isfinite(model.lower_bound_)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_far_mean_is_told_of_and_refused_where_digits_are_lost(rows, covariance_type, prior):
    own = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    model = BayesianGaussianMixture(n_components=3, random_state=0, **own).fit(rows)
    far = model.set_params(mean_prior=[1e6, 1e6])
    with pytest.warns(
        DegenerateComponentWarning,
        match=r"distance of mean_prior .* \(mean_precision_prior=1\): .* nearer .* or a lower",
    ):
        far.fit(rows)
    before = bits(model)
    model.set_params(mean_prior=[1e12, 0.0])
    if IS_MATRIX[covariance_type]:
        with pytest.raises(ValueError, match=r"'mean_prior' lies 2.*e\+11 deviations of feature 0"):
            model.fit(rows)
        assert bits(model) == before
        # what counts as 1e-12 of a row does no harm
        model.set_params(mean_precision_prior=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        model.fit(rows)
    assert np.isfinite(model.lower_bound_)
