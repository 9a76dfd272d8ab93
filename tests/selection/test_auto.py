"""fastgmm.select: how many components, of which kind, in shared passes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selection.contests import contest_of
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning

import fastgmm
from fastgmm import GaussianMixture, em, passes
from fastgmm.covariance import family
from fastgmm.passes.subsample import draw_sample
from fastgmm.selection.descent import Descent
from fastgmm.sources import Source, open_source

COLUMNS = [
    "n_components",
    "covariance_type",
    "log_likelihood",
    "n_parameters",
    "aic",
    "bic",
    "icl",
    "doubt",
    "converged",
    "n_passes",
]
TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)[0]


@pytest.fixture(scope="module")
def found(blobs):
    """The selection by the default arguments, which several tests look at."""
    return fastgmm.select(blobs, random_state=0)


class CountedSource(Source):
    """Rows of another source, and how often they were walked."""

    def __init__(self, rows):
        self.inner = open_source(rows)
        super().__init__("counted rows", self.inner.labels, self.inner.dtype, self.inner.n_rows)
        self.n_passes = 0

    def chunks(self):
        self.n_passes += 1
        return self.inner.chunks()


# The answer


def test_bic_is_least_at_four_blobs(found):
    assert found.best_estimator_.n_components == 4
    for name in TYPES:
        of_type = found.table["covariance_type"] == name
        bic = found.table["bic"][of_type]
        assert found.table["n_components"][of_type][bic.argmin()] == 4


def test_every_candidate_has_a_row_in_every_column(found):
    assert list(found.table) == COLUMNS
    assert_array_equal(found.table["n_components"], np.tile(np.arange(1, 21), 4))
    assert_array_equal(found.table["covariance_type"], np.repeat(TYPES, 20))
    unknown = ("covariance_type", "doubt")
    assert all(np.isfinite(found.table[name]).all() for name in COLUMNS if name not in unknown)
    # not told of some that were stopped, since they would have needed more passes than there are
    assert np.isfinite(found.table["doubt"][found.table["converged"]]).all()
    assert (found.table["doubt"] >= 0.0).all()


def test_curves_have_no_dips(found):
    for name in TYPES:
        of_type = found.table["covariance_type"] == name
        curve = found.table["log_likelihood"][of_type]
        # equal but for the order of sums, where a component stays twice in its place
        assert (np.diff(curve) >= -1e-12 * np.abs(curve[1:])).all()


def test_long_parallel_clusters_are_told_apart():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 2)) * [10.0, 0.4]
    rows[:, 1] += np.repeat([0.0, 3.0, 6.0], 200)
    chosen = fastgmm.select(rows, range(1, 7), random_state=0)
    assert chosen.best_estimator_.n_components == 3
    assert chosen.best_estimator_.covariance_type in ("tied", "diag")


def test_the_same_seed_gives_the_same_bits(blobs):
    first, second = (fastgmm.select(blobs, range(1, 6), random_state=3).table for _ in range(2))
    for name in COLUMNS:
        assert_array_equal(first[name], second[name])


# What the numbers are


@pytest.mark.parametrize("name", TYPES)
def test_criteria_are_those_of_the_estimator(blobs, name):
    chosen = fastgmm.select(blobs, 3, name, random_state=0)
    model, table = chosen.best_estimator_, chosen.table
    n_rows = len(blobs)
    assert_allclose(table["log_likelihood"][0], model.score(blobs) * n_rows, rtol=1e-12)
    assert_allclose(table["bic"][0], model.bic(blobs), rtol=1e-12)
    assert_allclose(table["aic"][0], model.aic(blobs), rtol=1e-12)
    certain = np.log(model.predict_proba(blobs).max(axis=1)).sum()
    assert_allclose(table["icl"][0], model.bic(blobs) - 2.0 * certain, rtol=1e-12)
    assert_allclose(table["icl"][0], model.icl(blobs), rtol=1e-12)
    assert table["n_parameters"][0] == model._n_parameters()


@pytest.mark.parametrize("name", TYPES)
def test_a_candidate_is_a_mixture_fitted_from_the_same_start(blobs, name):
    rng = np.random.default_rng(np.random.RandomState(0).randint(2**32, size=4, dtype=np.uint32))
    sample = draw_sample(open_source(blobs), rng)
    rule = em.Maximisation(family(name), 1e-6)
    contest = contest_of(len(blobs), counts=[3], families=[family(name)])
    descent = Descent(sample, rule, contest, rng)
    descent.descend([3])
    descent.refine([3])
    start = descent.found[3].parameters
    model = fastgmm.select(blobs, 3, name, random_state=0, prior=None).best_estimator_
    alone = clone(model).set_params(
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    )
    assert alone.tol == contest.stopping.tolerance
    alone.fit(blobs)
    assert model.n_iter_ == alone.n_iter_
    assert_allclose(model.lower_bounds_, alone.lower_bounds_, rtol=1e-10)
    assert_allclose(model.means_, alone.means_, rtol=1e-8)
    assert_allclose(model.precisions_cholesky_, alone.precisions_cholesky_, rtol=1e-8, atol=1e-12)


def test_the_best_is_published_like_a_mixture_that_was_fitted(blobs, tmp_path):
    model = fastgmm.select(blobs, range(2, 6), random_state=0).best_estimator_
    fitted = GaussianMixture(2).fit(blobs)
    assert set(vars(model)) == set(vars(fitted))
    model.save(tmp_path / "best.npz")
    again = fastgmm.load(tmp_path / "best.npz")
    assert_array_equal(again.predict_proba(blobs), model.predict_proba(blobs))


# AIC is lowest for a component of one row
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@pytest.mark.parametrize("criterion", ["aic", "bic", "icl"])
def test_the_best_is_least_in_the_criterion_asked_for(blobs, criterion):
    chosen = fastgmm.select(blobs, range(1, 6), criterion=criterion, random_state=0)
    least = np.where(chosen.collapsed, np.inf, chosen.table[criterion]).argmin()
    assert chosen.best_estimator_.n_components == chosen.table["n_components"][least]
    assert chosen.best_estimator_.covariance_type == chosen.table["covariance_type"][least]


def test_components_that_collapse_on_equal_values_are_not_chosen():
    rows = load_iris().data  # rounded to 0.1, so that some rows are equal in a feature
    chosen = fastgmm.select(rows, range(1, 8), random_state=0, prior=None)
    model, table = chosen.best_estimator_, chosen.table
    assert chosen.collapsed.any()
    assert table["bic"][chosen.collapsed].min() < table["bic"][~chosen.collapsed].min()
    assert (model.n_components, model.covariance_type) == (2, "full")  # as R's mclust finds
    assert model.bic(rows) == pytest.approx(table["bic"][~chosen.collapsed].min(), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_sound_candidates_stand_in_the_place_of_those_that_collapse(seed):
    """Alone, default fits of four components come to a BIC from 5480 to 5499, of three to 5554."""
    rows = load_wine().data
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    chosen = fastgmm.select(rows, range(1, 7), "diag", random_state=seed)
    assert not chosen.collapsed.any()
    assert chosen.best_estimator_.n_components == 4
    alone = GaussianMixture(4, covariance_type="diag", n_init=5, random_state=0).fit(rows)
    assert chosen.best_estimator_.bic(rows) < alone.bic(rows) + 2.0


@pytest.mark.parametrize(("kind", "most", "seed"), [("full", 4, 5), ("full", 4, 8), ("diag", 8, 9)])
def test_default_starts_compete_with_the_best_that_has_grown(kind, most, seed):
    """What grows alone from these seeds, one to eight, is 11 or 18 above a loop of fits."""
    rows = load_wine().data
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    found = fastgmm.select(rows, range(1, most + 1), kind, random_state=seed).best_estimator_
    alone = GaussianMixture(found.n_components, covariance_type=kind, n_init=5, random_state=0)
    assert found.n_components == {"full": 2, "diag": 4}[kind]
    assert found.bic(rows) < alone.fit(rows).bic(rows) + 2.0


@pytest.mark.parametrize("kind", ["tied", "EII", "EEI", "EEV"])
def test_a_far_row_has_a_component_of_its_own_where_all_have_one_size(kind):
    """Its density is bounded: select was 1600 to 2700 of BIC above the loop, with a K less."""
    rng = np.random.default_rng(5)
    rows = np.repeat(8.0 * rng.normal(size=(3, 2)), 80, axis=0) + rng.normal(size=(240, 2))
    rows = np.vstack([rows, [[90.0, 90.0]]])
    found = fastgmm.select(rows, range(1, 7), kind, random_state=0).best_estimator_
    loop = [
        GaussianMixture(count, covariance_type=kind, n_init=3, random_state=0).fit(rows)
        for count in (3, 4, 5)
    ]
    assert found.n_components == 4
    assert found.bic(rows) < min(each.bic(rows) for each in loop) + 2.0


@pytest.mark.parametrize("n_rows", [12, 20])
@pytest.mark.parametrize("kind", ["full", "EVV", "diag"])
def test_no_component_for_each_row_is_chosen(kind, n_rows, rng):
    rows = rng.normal(size=(n_rows, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgmm.DegenerateComponentWarning)
        found = fastgmm.select(rows, range(1, n_rows + 1), kind, random_state=0)
    assert found.best_estimator_.n_components < 5
    assert found.collapsed[n_rows - 1]


def test_a_feature_without_width_collapses_nothing(blobs):
    rows = np.column_stack([blobs, np.full(len(blobs), 3.0)])
    with pytest.warns(fastgmm.errors.DegenerateComponentWarning, match="constant"):
        chosen = fastgmm.select(rows, range(1, 6), "full", random_state=0)
    assert not chosen.collapsed.any()
    assert chosen.best_estimator_.n_components == 4


# Weights and sources


def test_weights_count_rows(blobs):
    weights = np.random.default_rng(0).integers(0, 3, len(blobs))
    weighted = fastgmm.select(blobs, range(1, 6), random_state=0, sample_weight=weights)
    repeated = fastgmm.select(np.repeat(blobs, weights, axis=0), range(1, 6), random_state=0)
    for name in ("log_likelihood", "aic", "bic", "icl"):
        assert_allclose(weighted.table[name], repeated.table[name], rtol=1e-6)
    assert weighted.best_estimator_.n_rows_ == np.count_nonzero(weights)


def test_icl_counts_rows_by_weight_from_any_source(blobs):
    model = GaussianMixture(3, random_state=0).fit(blobs)
    weights = np.random.default_rng(0).integers(0, 3, len(blobs))
    repeated = np.repeat(blobs, weights, axis=0)
    expected = model.icl(repeated)
    assert_allclose(model.icl(blobs, sample_weight=weights), expected, rtol=1e-12)
    source = CountedSource(repeated)
    assert_allclose(model.icl(source), expected, rtol=1e-12)
    assert source.n_passes == 1
    certain = np.log(model.predict_proba(repeated).max(axis=1)).sum()
    assert_allclose(expected, model.bic(repeated) - 2.0 * certain, rtol=1e-12)


@pytest.mark.parametrize("criterion", ["aic", "bic", "icl"])
def test_criteria_of_files_and_iterables_are_those_of_the_rows(criterion, blobs, tmp_path):
    model = GaussianMixture(3, random_state=0).fit(blobs)
    asked = getattr(model, criterion)
    np.save(tmp_path / "blobs.npy", blobs)
    assert asked(tmp_path / "blobs.npy") == asked(blobs)
    assert asked(lambda: iter([blobs[:100], blobs[100:]])) == asked(blobs)


def test_passes_are_shared(blobs):
    source = CountedSource(blobs)
    table = fastgmm.select(source, range(1, 9), random_state=0, tol=1e-6, prior=None).table
    assert len(set(table["n_passes"])) > 1
    assert source.n_passes == table["n_passes"].max() + 2


def test_a_candidate_that_has_converged_is_asked_no_more(blobs, monkeypatch):
    asked = []
    statistics = passes.statistics
    source = CountedSource(blobs)

    def counted(of, candidates):
        if of is source:
            asked.append(len(candidates))
        return statistics(of, candidates)

    monkeypatch.setattr(passes, "statistics", counted)
    table = fastgmm.select(source, range(1, 9), random_state=0, tol=1e-6, prior=None).table
    assert asked == [int((table["n_passes"] > at).sum()) for at in range(len(asked))]
    assert sum(asked) == table["n_passes"].sum()


def test_float32_rows_give_a_float32_mixture(blobs):
    model = fastgmm.select(blobs.astype(np.float32), 4, "full", random_state=0).best_estimator_
    assert model.means_.dtype == np.float32


def test_rows_of_a_sweep_may_come_from_a_file(blobs, tmp_path):
    np.save(tmp_path / "rows.npy", blobs)
    chosen = fastgmm.select(str(tmp_path / "rows.npy"), range(1, 4), "full", random_state=0)
    in_memory = fastgmm.select(blobs, range(1, 4), "full", random_state=0)
    assert_array_equal(chosen.table["bic"], in_memory.table["bic"])


# Candidates that fail


def test_more_components_than_rows_are_rows_without_a_fit():
    rows = np.array([[0.0, 0.0], [1.0, 0.5], [0.3, 2.0]])
    table = fastgmm.select(rows, range(1, 6), "spherical", random_state=0, prior=None).table
    assert_array_equal(table["log_likelihood"] == -np.inf, [False] * 3 + [True] * 2)
    assert_array_equal(table["bic"] == np.inf, [False] * 3 + [True] * 2)
    assert_array_equal(table["converged"][3:], [False, False])
    assert not any(np.isnan(table[name]).any() for name in ("log_likelihood", "aic", "bic", "icl"))


def test_collapsed_candidates_are_not_chosen():
    rows = np.repeat(np.random.default_rng(0).normal(size=(5, 2)), 10, axis=0)
    chosen = fastgmm.select(rows, range(1, 6), "full", random_state=0, reg_covar=0.0)
    failed = chosen.table["log_likelihood"] == -np.inf
    assert failed.any()
    assert not failed[0]
    assert not chosen.table["converged"][failed].any()
    assert np.isfinite(chosen.table["bic"][~failed]).all()


def test_when_all_fail_the_reason_is_raised():
    with pytest.raises(fastgmm.DegenerateCovarianceError, match="ill-defined"):
        fastgmm.select(np.ones((10, 2)), range(1, 4), random_state=0, reg_covar=0.0)


def test_a_best_that_did_not_converge_is_said(blobs):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        fastgmm.select(blobs, 3, "full", random_state=0, max_iter=1)


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "bicc"}, r"no criterion is named 'bicc' \(did you mean 'bic'\?\)"),
        ({"n_components": []}, "n_components is empty"),
        ({"n_components": [2, 0]}, "n_components holds 0"),
        ({"n_components": [2.5]}, r"n_components holds 2\.5"),
        ({"n_components": 0}, "n_components"),
        ({"covariance_type": "fool"}, r"'fool' \(did you mean 'full'\?\)"),
        ({"covariance_type": []}, "covariance_type is empty"),
        ({"tol": -1.0}, "tol"),
        ({"n_components": [400, 500]}, "n_samples = 300"),
    ],
)
def test_wrong_arguments_are_refused(blobs, arguments, message):
    with pytest.raises(ValueError, match=message):
        fastgmm.select(blobs, **arguments)


# Looking at it


def test_the_table_prints_as_a_table(found):
    lines = repr(found.table).splitlines()
    assert lines[0].split() == COLUMNS
    assert len(lines) == 81
    assert len(set(map(len, lines))) == 1


def test_pandas_takes_the_table(found):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(found.table)
    assert frame.shape == (80, 10)
    assert frame.loc[frame["bic"].idxmin(), "n_components"] == 4


def test_the_plot_has_a_curve_for_each_type(found):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, ax = pyplot.subplots()
    assert found.plot(ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.partition(",")[0] for label in labels] == list(TYPES)
    assert "BIC" in ax.get_ylabel()
    pyplot.close("all")
