"""Random mixtures, rows and forms: the estimator against a plain EM, and against itself."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import naive
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import fastgmm
from fastgmm import DegenerateComponentWarning, GaussianMixture, open_source
from fastgmm.sources import with_weights

MANY = settings(max_examples=40)
SOME = settings(MANY, max_examples=15)
TYPES = ("full", "tied", "diag", "spherical")
N_PASSES = 3
ARRAYS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


class Drawn(NamedTuple):
    """Rows, their weights, and a mixture to start from."""

    rows: np.ndarray
    row_weights: np.ndarray
    start: naive.Mixture
    reg_covar: float

    @property
    def kind(self):
        return self.start.structure


@st.composite
def drawn(draw, kinds=TYPES):
    kind, seed = draw(st.sampled_from(kinds)), draw(st.integers(0, 2**32 - 1))
    n_components, d = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    n_rows = draw(st.integers(15, 60)) * n_components * d
    rng = np.random.default_rng(seed)
    offset = draw(st.sampled_from([0.0, -3.0, 1e3, 1e6]))
    truth = naive.random_mixture(kind, n_components, d, rng, offset)
    rows = naive.random_rows(truth, n_rows, rng)
    row_weights = rng.choice([0.0, 0.5, 1.0, 3.0], size=n_rows, p=[0.1, 0.2, 0.5, 0.2])
    start = truth._replace(
        means=truth.means + rng.normal(scale=0.3, size=truth.means.shape),
        covariances=1.3 * truth.covariances,
    )
    return Drawn(rows, row_weights, start, draw(st.sampled_from([0.0, 1e-6, 0.1])))


def fit(case, X=None, sample_weight=None, **settings):
    start, kind = case.start, case.kind
    inverse = np.linalg.inv if kind in ("full", "tied") else np.reciprocal
    precisions = inverse(start.covariances)
    if kind in ("full", "tied"):
        precisions = (precisions + precisions.swapaxes(-1, -2)) / 2
    given = {
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": precisions,
        "reg_covar": case.reg_covar,
        "max_iter": N_PASSES,
        "tol": 0.0,
        "covariance_type": kind,
    }
    model = GaussianMixture(len(start.weights), **(given | settings))
    return silently(model.fit, case.rows if X is None else X, sample_weight=sample_weight)


def silently(act, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        return act(*args, **options)


FORMS = {
    "C": lambda rows, cuts: np.ascontiguousarray(rows),
    "Fortran": lambda rows, cuts: np.asfortranarray(rows),
    "strided": lambda rows, cuts: np.repeat(rows, 2, axis=1)[:, ::2],
    "list of chunks": lambda rows, cuts: np.split(rows, cuts),
    "callable": lambda rows, cuts: lambda: iter(np.split(rows, cuts)),
}


@MANY
@given(
    case=drawn(),
    single=st.booleans(),
    weighted=st.booleans(),
    form=st.sampled_from(sorted(FORMS)),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
def test_a_fit_is_that_of_a_plain_em_in_extended_precision(case, single, weighted, form, cuts):
    rows = case.rows.astype(np.float32) if single else case.rows
    row_weights = case.row_weights if weighted else None
    mixture, bounds = case.start, []
    for _ in range(N_PASSES):
        bound, mixture = naive.em_iteration(rows, row_weights, mixture, case.reg_covar)
        assume(np.min(mixture.weights) > 2.0 * rows.shape[1] / len(rows))  # none that starves
        bounds.append(float(bound))
    at = sorted(int(cut * len(rows)) for cut in cuts)
    model = fit(case, FORMS[form](rows, at), row_weights)
    # a pass in float32 errs by some eps of the squares it sums; three passes pass that on
    size = np.abs(case.rows).max()
    close = 3e-3 if single else 1e-9 + 1e-15 * size
    assert_allclose(model.lower_bounds_, bounds, rtol=close, atol=close)
    assert_allclose(model.weights_, mixture.weights.astype(float), atol=close)
    assert_allclose(model.means_, mixture.means.astype(float), atol=close, rtol=close / 1e3)
    assert_allclose(model.covariances_, mixture.covariances.astype(float), atol=10 * close)
    assert model.means_.dtype == rows.dtype


def assert_close(model, expected, close, change=lambda name, array: array):
    for name in ARRAYS[:3]:
        found, wanted = getattr(model, name), change(name, getattr(expected, name))
        assert_allclose(found, wanted, rtol=close, atol=close * np.abs(wanted).max(), err_msg=name)


@SOME
@given(case=drawn(), seed=st.integers(0, 99))
def test_the_order_of_rows_changes_rounding_alone(case, seed):
    order = np.random.default_rng(seed).permutation(len(case.rows))
    assert_close(fit(case, case.rows[order]), fit(case), 1e-9)


@SOME
@given(case=drawn(), seed=st.integers(0, 99))
def test_the_order_of_features_is_that_of_the_parameters(case, seed):
    order = np.random.default_rng(seed).permutation(case.rows.shape[1])

    def in_order(name, array):
        if name == "weights_" or (name == "covariances_" and case.kind == "spherical"):
            return array
        array = array[..., order]
        matrices = name == "covariances_" and case.kind in ("full", "tied")
        return array[..., order, :] if matrices else array

    start = case.start._replace(
        means=in_order("means_", case.start.means),
        covariances=in_order("covariances_", case.start.covariances),
    )
    found = fit(case._replace(start=start), np.ascontiguousarray(case.rows[:, order]))
    assert_close(found, fit(case), 1e-9, in_order)


@SOME
@given(case=drawn(kinds=["full", "tied"]), seed=st.integers(0, 99))
def test_an_affine_map_of_the_rows_maps_the_mixture(case, seed):
    rng, d = np.random.default_rng(seed), case.rows.shape[1]
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    matrix, shift = basis * rng.uniform(0.5, 2.0, size=d), rng.normal(size=d)

    def mapped(name, array):
        if name == "weights_":
            return array
        return array @ matrix.T + shift if name == "means_" else matrix @ array @ matrix.T

    case = case._replace(reg_covar=0.0)
    start = case.start._replace(
        means=mapped("means_", case.start.means),
        covariances=mapped("covariances_", case.start.covariances),
    )
    found = fit(case._replace(start=start), mapped("means_", case.rows))
    assert_close(found, fit(case), 1e-8, mapped)


@SOME
@given(case=drawn(), exponent=st.integers(-100, 100))
def test_powers_of_two_scale_the_mixture(case, exponent):
    scale = 2.0**exponent

    def scaled(name, array):
        return array * {"weights_": 1.0, "means_": scale, "covariances_": scale**2}[name]

    start = case.start._replace(
        means=case.start.means * scale, covariances=case.start.covariances * scale**2
    )
    changed = case._replace(start=start, reg_covar=case.reg_covar * scale**2)
    assert_close(fit(changed, case.rows * scale), fit(case), 1e-9, scaled)


@SOME
@given(case=drawn(), times=st.integers(2, 4))
def test_a_weight_of_n_is_n_times_the_row(case, times):
    weighted = fit(case, sample_weight=np.full(len(case.rows), float(times)))
    assert_close(weighted, fit(case, np.repeat(case.rows, times, axis=0)), 1e-9)
    assert weighted.n_rows_ == len(case.rows)


@SOME
@given(case=drawn())
def test_one_component_is_the_mean_and_the_covariance(case):
    model = GaussianMixture(1, covariance_type=case.kind, reg_covar=0.0)
    silently(model.fit, case.rows, sample_weight=case.row_weights)
    ones = np.ones((len(case.rows), 1)) * case.row_weights[:, None]
    expected = naive.m_step(case.rows, ones, case.kind, 0.0)
    assert_allclose(model.means_, expected.means.astype(float), rtol=1e-13, atol=1e-13)
    assert_allclose(model.covariances_, expected.covariances.astype(float), rtol=1e-8, atol=1e-9)


@SOME
@given(case=drawn(), single=st.booleans())
def test_save_load_save_gives_the_same_bytes(case, single, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = fit(case, case.rows.astype(np.float32) if single else case.rows)
    model.save(folder / "a.npz")
    fastgmm.load(folder / "a.npz").save(folder / "b.npz")
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


@SOME
@given(case=drawn(), n_before=st.integers(1, 4))
def test_a_fit_that_stops_and_goes_on_is_one_fit(case, n_before):
    whole = fit(case, max_iter=5)
    parted = fit(case, max_iter=n_before)
    silently(parted.set_params(warm_start=True, max_iter=5 - n_before).fit, case.rows)
    for name in ARRAYS:
        assert_array_equal(getattr(parted, name), getattr(whole, name), err_msg=name)


@SOME
@given(case=drawn(), cuts=st.lists(st.floats(0, 1), max_size=6))
def test_chunks_of_any_size_give_the_same_bits(case, cuts):
    at = sorted(int(cut * len(case.rows)) for cut in cuts)
    source = with_weights(open_source(np.split(case.rows, at)), case.row_weights)
    chunked, whole = fit(case, source), fit(case, sample_weight=case.row_weights)
    for name in ARRAYS:
        assert_array_equal(getattr(chunked, name), getattr(whole, name), err_msg=name)
