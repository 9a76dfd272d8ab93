"""Missing values: the same answer from any source, exact EM, and nothing lost where none lack."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer

import fastgmm
from fastgmm import BayesianGaussianMixture, GaussianMixture, StudentTMixture, select
from fastgmm.covariance import ALL
from fastgmm.errors import DataError

NAMES = ["a", "b", "c"]


def complete(n_rows=400):
    rng = np.random.default_rng(0)
    bent = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
    first = rng.normal(size=(n_rows // 2, 3)) @ bent
    return np.concatenate([first, rng.normal(size=(n_rows - n_rows // 2, 3)) + 5])


def lacking(share=0.2, n_rows=400):
    rows = complete(n_rows)
    rows[np.random.default_rng(1).random(rows.shape) < share] = np.nan
    return rows[~np.isnan(rows).all(axis=1)]


def model(**settings):
    return GaussianMixture(2, random_state=0, missing="em", **settings)


@pytest.fixture(scope="module")
def fitted():
    return model().fit(lacking())


# where values are missing


def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(lacking(), columns=NAMES)


def as_objects():
    table = frame()
    return table.astype(object).where(table.notna(), None)


def as_polars():
    polars = pytest.importorskip("polars")
    return polars.DataFrame(
        {name: [None if np.isnan(v) else v for v in frame()[name]] for name in NAMES}
    )


def as_arrow():
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({n: pyarrow.array(frame()[n], from_pandas=True) for n in NAMES})


IN_MEMORY = {
    "list": lambda: lacking().tolist(),
    "Fortran": lambda: np.asfortranarray(lacking()),
    "masked": lambda: np.ma.masked_invalid(lacking()),
    "chunks": lambda: [lacking()[:150], lacking()[150:]],
    "function": lambda: lambda: iter([lacking()[:7], lacking()[7:]]),
    "source": lambda: fastgmm.open_source(lacking(), missing=True),
    "pandas": frame,
    "nullable pandas": lambda: frame().astype("Float64"),
    "pandas objects": as_objects,
    "polars": as_polars,
    "arrow": as_arrow,
}


@pytest.mark.parametrize("make", IN_MEMORY.values(), ids=IN_MEMORY.keys())
def test_missing_values_of_any_kind_of_rows_are_the_same(make, fitted):
    found = model().fit(make())
    np.testing.assert_array_equal(found.means_, fitted.means_)
    np.testing.assert_array_equal(found.covariances_, fitted.covariances_)
    np.testing.assert_array_equal(found.predict(make()), fitted.predict(lacking()))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather", "npy"])
def test_missing_values_of_files_are_the_same(suffix, fitted, tmp_path):
    path = tmp_path / f"rows.{suffix}"
    write = {
        "csv": lambda: frame().to_csv(path, index=False),
        "parquet": lambda: frame().to_parquet(path),
        "feather": lambda: frame().to_feather(path),
        "npy": lambda: np.save(path, lacking()),
    }
    write[suffix]()
    found = model().fit(str(path))
    np.testing.assert_array_equal(found.means_, fitted.means_)
    with pytest.raises(DataError, match=r"holds no value .* or expect it: GaussianMixture"):
        GaussianMixture(2).fit(str(path))


def test_missing_values_of_dask_partitions_are_expected_where_they_live(fitted):
    array = pytest.importorskip("dask.array")
    rows = array.from_array(lacking(), chunks=(90, 3))
    found = model().fit(rows)
    # sums of partitions are added in another order: some roundings of sums of 400 terms
    np.testing.assert_allclose(found.means_, fitted.means_, atol=1e-10)
    np.testing.assert_array_equal(fitted.predict(rows).compute(), fitted.predict(lacking()))


# exact


def test_two_features_of_which_one_lacks_values_have_andersons_estimates():
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    y = 0.7 * x + rng.normal(scale=0.5, size=300)
    seen = np.arange(300) < 120
    rows = np.column_stack([x, np.where(seen, y, np.nan)])
    found = GaussianMixture(1, missing="em", prior=None, reg_covar=0, tol=1e-14).fit(rows)
    slope = np.cov(x[seen], y[seen], ddof=0)[0, 1] / x[seen].var()
    mean = y[seen].mean() + slope * (x.mean() - x[seen].mean())
    across = slope * x.var()
    own = y[seen].var() + slope**2 * (x.var() - x[seen].var())
    # EM stops where a pass gains 1e-14: some 1e-7 from the limit, which is the closed form
    np.testing.assert_allclose(found.means_[0], [x.mean(), mean], atol=1e-6)
    np.testing.assert_allclose(found.covariances_[0], [[x.var(), across], [across, own]], atol=1e-6)


@pytest.mark.parametrize("kind", [each.name for each in ALL])
def test_the_objective_never_falls(kind):
    found = model(covariance_type=kind, acceleration=None, reg_covar=1e-9).fit(lacking(0.4))
    gains = np.diff(found.lower_bounds_)
    # a pass rounds sums of 400 terms; reg_covar, added after the M-step, loses 1e-9
    assert gains.min(initial=0.0) > -1e-8


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_the_bound_of_a_bayesian_mixture_never_falls(kind):
    found = BayesianGaussianMixture(
        n_components=4, covariance_type=kind, missing="em", random_state=0
    ).fit(lacking(0.3))
    assert np.diff(found.lower_bounds_).min(initial=0.0) > -1e-12
    assert found.n_active_ == 2


@pytest.mark.parametrize("kind", [each.name for each in ALL])
def test_complete_rows_are_fitted_to_the_same_bits(kind):
    rows = complete()
    plain = GaussianMixture(2, covariance_type=kind, random_state=0).fit(rows)
    found = model(covariance_type=kind).fit(rows)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


def test_complete_rows_have_the_same_bits_in_other_estimators():
    rows = complete()
    for kind in (BayesianGaussianMixture, fastgmm.AutoGaussianMixture):
        plain = kind(n_components=2, random_state=0).fit(rows)
        found = kind(n_components=2, random_state=0, missing="em").fit(rows)
        np.testing.assert_array_equal(found.means_, plain.means_)


@pytest.mark.parametrize("share", [0.2, 0.35])
def test_parameters_are_nearer_to_those_of_all_values_than_after_filling_in_means(share):
    rows = load_iris().data
    whole = GaussianMixture(3, covariance_type="tied", random_state=0).fit(rows)
    gains = []
    for seed in range(3):
        holes = rows.copy()
        holes[np.random.default_rng(seed).random(rows.shape) < share] = np.nan
        settings = {"covariance_type": "tied", "random_state": 0}
        found = GaussianMixture(3, missing="em", **settings).fit(holes)
        filled = GaussianMixture(3, **settings).fit(SimpleImputer().fit_transform(holes))
        gains.append(found.score(rows) - filled.score(rows))
        assert found.score(rows) > whole.score(rows) - 0.5
    assert min(gains) > 0.5


# all that a mixture does


def test_weights_are_repetitions():
    rows, twice = lacking(), np.repeat(lacking(), 2, axis=0)
    given = {"weights_init": [0.5, 0.5], "means_init": [[0.0] * 3, [5.0] * 3]}
    given |= {"precisions_init": np.stack([np.eye(3)] * 2)}
    one = model(**given).fit(rows, sample_weight=np.full(len(rows), 2.0))
    np.testing.assert_allclose(one.means_, model(**given).fit(twice).means_, atol=1e-10)


def test_rows_without_a_value_say_nothing(fitted):
    rows = lacking()
    more = np.insert(rows, [0, 5, len(rows)], np.nan, axis=0)
    given = {"weights_init": [0.5, 0.5], "means_init": [[0.0] * 3, [5.0] * 3]}
    given |= {"precisions_init": np.stack([np.eye(3)] * 2)}
    found = model(**given).fit(more)
    assert found.n_rows_ == len(rows)
    np.testing.assert_allclose(found.means_, model(**given).fit(rows).means_, atol=1e-10)
    nothing = np.full((1, 3), np.nan)
    np.testing.assert_allclose(fitted.predict_proba(nothing)[0], fitted.weights_, atol=1e-15)
    np.testing.assert_allclose(fitted.score_samples(nothing), 0.0, atol=1e-15)
    assert fitted.bic(more[:, :]) == fitted.bic(rows)


def test_a_feature_that_few_rows_hold_is_estimated_from_these():
    rows = complete(6_000)
    rows[np.random.default_rng(0).permutation(6_000)[5:], 2] = np.nan
    found = model(max_iter=50, tol=1e-3).fit(rows)
    assert np.isfinite(found.covariances_).all()
    np.testing.assert_allclose(np.sort(found.means_[:, 0]), [0.0, 5.0], atol=0.1)


def test_it_is_kept_by_files_pickles_and_clones(fitted, tmp_path):
    fitted.save(tmp_path / "model.npz")
    found = fastgmm.load(tmp_path / "model.npz")
    assert found.missing == clone(fitted).missing == "em"
    np.testing.assert_array_equal(found.predict_proba(lacking()), fitted.predict_proba(lacking()))
    assert fitted.__sklearn_tags__().input_tags.allow_nan


def test_a_checkpoint_and_a_warm_start_go_on(fitted, tmp_path):
    path = tmp_path / "fit.checkpoint"
    for _ in range(2):
        found = model().fit(lacking(), checkpoint=path)
        np.testing.assert_array_equal(found.means_, fitted.means_)
    again = model(warm_start=True).fit(lacking())
    assert again.fit(lacking()).n_iter_ <= 2


def test_batches_lead_where_all_rows_lead(fitted):
    found, rows = model(), lacking()
    for start in range(0, len(rows), 50):
        found.partial_fit(rows[start : start + 50])
    assert np.abs(np.sort(found.means_, axis=0) - np.sort(fitted.means_, axis=0)).max() < 0.1


@pytest.mark.parametrize("criterion", ["bic", "icl", "held-out", "evidence"])
def test_the_number_of_components_is_chosen(criterion):
    found = select(
        lacking(), range(1, 4), "full", criterion=criterion, random_state=0, missing="em"
    )
    assert found.best_estimator_.n_components == 2
    assert found.best_estimator_.missing == "em"


# what cannot be


def test_rows_that_lack_values_are_refused_where_they_are_not_expected():
    with pytest.raises(DataError, match="drop or impute it, or expect it: GaussianMixture"):
        GaussianMixture(2).fit(lacking())
    with pytest.raises(DataError, match="or expect it: GaussianMixture"):
        fastgmm.open_source(lacking())
    with pytest.raises(DataError, match="opened with missing=True"):
        GaussianMixture(2).fit(fastgmm.open_source(lacking(), missing=True))
    with pytest.raises(ValueError, match="missing"):
        GaussianMixture(2, missing="mean").fit(complete())


def test_a_source_taken_once_with_missing_values_is_as_before(tmp_path):
    np.save(tmp_path / "rows.npy", lacking())
    source = fastgmm.open_source(tmp_path / "rows.npy")
    model().fit(source)
    with pytest.raises(DataError, match="holds no value"):
        GaussianMixture(2).fit(source)


def test_infinity_and_features_without_a_value_are_refused_by_name():
    rows = lacking()
    rows[3, 1] = np.inf
    with pytest.raises(DataError, match=r"row 3 .* holds infinity in column 1; drop or impute it"):
        model().fit(rows)
    rows[:, 1] = np.nan
    with pytest.raises(DataError, match=r"column 1 .* holds no value in any row"):
        model().fit(rows)
    with pytest.raises(DataError, match="no row that holds a value"):
        model().fit(np.full((10, 3), np.nan))


def test_what_cannot_be_combined_says_so():
    labels = np.repeat([0, 1], [200, len(lacking()) - 200])
    with pytest.raises(DataError, match="responsibilities_init is a step from complete rows"):
        model(responsibilities_init=labels).fit(lacking())
    with pytest.raises(DataError, match="leave out labels or missing='em'"):
        model().fit(lacking(), labels=labels)
    with pytest.raises(ValueError, match="noise has a density over all features"):
        model(noise=True).fit(lacking())
    with pytest.raises(DataError, match="StudentTMixture takes complete rows alone"):
        StudentTMixture(2).fit(fastgmm.open_source(lacking(), missing=True))


def test_parameters_that_stay_do_so_where_values_are_missing():
    means = [[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]
    found = model(fixed={"means": [0]}, means_init=means).fit(lacking())
    np.testing.assert_array_equal(found.means_[0], means[0])
    assert np.abs(found.means_[1] - 5.0).max() < 0.5


def test_a_predictive_density_is_of_complete_rows():
    found = BayesianGaussianMixture(n_components=2, missing="em", random_state=0).fit(lacking())
    assert np.isfinite(found.score(complete(), predictive=True))
    with pytest.raises(DataError, match="lacks a value, and the predictive density"):
        found.score(lacking(), predictive=True)
