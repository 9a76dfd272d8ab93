"""criterion="held-out": every row scored by the fit that has not seen it, in shared passes."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from stops import disturbed

import fastgmm
from fastgmm import AutoGaussianMixture, GaussianMixture, select
from fastgmm.covariance import family
from fastgmm.errors import DataError
from fastgmm.passes.folds import N_FOLDS, HeldOut, rows_by_fold
from fastgmm.selection import descent, held_out
from fastgmm.selection.candidate import Candidate
from fastgmm.sources import Source, open_source

QUICK = {"tol": 0.0, "max_iter": 6, "random_state": 0}
CRITERIA = ("held-out", "held-out-1se")

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


@pytest.fixture(autouse=True)
def short_polishing(monkeypatch):
    """Starts that are polished for a few passes: with tol=0 all of them are made."""
    monkeypatch.setattr(descent, "POLISHING_PASSES", 10)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)[0]


@pytest.fixture(scope="module")
def found(blobs):
    """A selection that several tests look at."""
    return select(blobs, range(2, 6), ["full", "spherical"], "held-out", random_state=0)


@pytest.fixture
def begun(monkeypatch):
    """The starts of the last search: a list of states for each candidate, then for each fold."""
    kept = []
    begin = held_out.begin

    def watched(*arguments):
        climb = begin(*arguments)
        kept[:] = [climb.states]
        return climb

    monkeypatch.setattr(held_out, "begin", watched)
    return kept


class CountedSource(Source):
    """Rows of another source, and how often they were walked."""

    def __init__(self, rows):
        self.inner = open_source(rows)
        super().__init__("counted rows", self.inner.labels, self.inner.dtype, self.inner.n_rows)
        self.n_passes = 0

    def chunks(self):
        self.n_passes += 1
        return self.inner.chunks()


def of_rows(n_rows):
    """Return the fold of each row."""
    folds = np.empty(n_rows, int)
    for fold, its in enumerate(rows_by_fold(0, n_rows)):
        folds[its] = fold
    return folds


# The answer


def test_four_blobs_are_found_by_both_rules(blobs, found):
    assert found.best_estimator_.n_components == 4
    one = select(blobs, range(3, 6), "full", "held-out-1se", random_state=0)
    assert one.best_estimator_.n_components == 4
    assert one.criterion == "held-out-1se"
    for kind in ("full", "spherical"):
        scores = found.table["held_out"][found.table["covariance_type"] == kind]
        assert scores[2] > scores[:2].max() + 0.1
        assert scores[2] > scores[3] - 1e-3  # five are as good under a prior: one cluster, twice


def test_one_cluster_is_one_component_by_one_standard_error(rng):
    chosen = select(rng.normal(size=(400, 2)), range(1, 4), "full", "held-out-1se", random_state=0)
    assert chosen.best_estimator_.n_components == 1


def test_the_one_standard_error_rule_takes_the_simplest_within_reach():
    def candidate(n_components, mean, error, kind="full"):
        scores = HeldOut(mean, error)
        totals = fastgmm.passes.Totals(0.0, 0.0, 1.0, 100, None)
        of_kind = family(kind)
        return Candidate(n_components, of_kind, None, None, totals, 2, held_out=scores)

    candidates = [
        candidate(1, -3.0, 0.3),
        candidate(2, -2.11, 0.2),  # just out of reach
        candidate(3, -2.09, 0.2),
        candidate(4, -2.0, 0.1),  # the highest
        candidate(5, -2.001, 0.1),
        candidate(3, -2.095, 0.2, "spherical"),  # fewer parameters than three ellipses
    ]
    assert held_out.best_held_out(candidates, "held-out") is candidates[3]
    assert held_out.best_held_out(candidates, "held-out-1se") is candidates[5]
    assert held_out.best_held_out(candidates[:5], "held-out-1se") is candidates[2]
    assert held_out.best_held_out(candidates[:2], "held-out-1se") is candidates[1]
    more = [candidates[3], candidate(6, -1.9999, 0.1)]
    assert held_out.best_held_out(more, "held-out") is more[1]
    assert held_out.best_held_out(more, "held-out", tolerance=1e-3) is more[0]
    infinite = [candidates[0], candidate(4, -2.0, math.inf)]  # an error that is not known
    assert held_out.best_held_out(infinite, "held-out-1se") is candidates[0]


def test_the_best_is_the_fit_to_all_rows(blobs, found):
    best = found.best_estimator_
    at = int(found.table["held_out"].argmax())
    assert best.n_rows_ == 300
    assert best.n_components == found.table["n_components"][at]
    assert best.covariance_type == found.table["covariance_type"][at]
    assert_allclose(300 * best.score(blobs), found.table["log_likelihood"][at], rtol=1e-12)


# The score


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_scores_are_those_of_a_loop_over_the_folds(kind, rng, begun):
    rows = rng.normal(size=(203, 2)) + 3.0 * rng.integers(3, size=(203, 1))
    weights = rng.choice([0.0, 1.0, 2.5], size=203, p=[0.1, 0.5, 0.4])
    table = select(rows, [2, 3], kind, "held-out", prior=None, sample_weight=weights, **QUICK).table
    folds, scores = of_rows(203), np.empty((2, 203))
    for c, count in enumerate((2, 3)):
        for fold in range(N_FOLDS):
            start = begun[0][2 * (1 + fold) + c].parameters
            alone = GaussianMixture(
                count,
                covariance_type=kind,
                weights_init=start.weights,
                means_init=start.means,
                precisions_init=start.precisions,
                tol=0.0,
                max_iter=6,
                prior=None,
            ).fit(rows[folds != fold], sample_weight=weights[folds != fold])
            scores[c, folds == fold] = alone.score_samples(rows[folds == fold])
    means = np.average(scores, axis=1, weights=weights)
    # the same sums in another order, through six steps of EM
    assert_allclose(table["held_out"], means, rtol=1e-9)
    n_rows = np.count_nonzero(weights)
    squares = weights**2 * (scores - means[:, None]) ** 2
    errors = np.sqrt(squares.sum(axis=1) * n_rows / (n_rows - 1)) / weights.sum()
    assert_allclose(table["standard_error"], errors, rtol=1e-7)


@pytest.mark.parametrize("prior", ["auto", None])
def test_no_start_depends_on_the_rows_that_are_left_out(prior, rng, begun):
    rows = rng.normal(size=(200, 2)) + 4.0 * rng.integers(2, size=(200, 1))
    settings = QUICK | {"covariance_type": "full", "criterion": "held-out", "prior": prior}
    select(rows, 2, **settings)
    whole, *before = begun[0]
    moved = rows.copy()
    moved[of_rows(200) == 3] += 0.25
    select(moved, 2, **settings)
    other, *after = begun[0]
    # the fourth has seen the same rows, though its random numbers come after others'
    same = [
        np.allclose(one.parameters.means, two.parameters.means, atol=1e-6)
        for one, two in zip(before, after, strict=True)
    ]
    assert same == [False, False, False, True, False]
    assert not np.allclose(whole.parameters.means, other.parameters.means, atol=1e-6)
    priors = [each[3].rule.prior for each in (before, after)]
    assert (priors[0] is None) == (priors[1] is None) == (prior is None)
    if prior == "auto":
        assert_allclose(priors[0].covariance, priors[1].covariance, rtol=1e-6)
        assert priors[0].rows == priors[1].rows


def test_a_conjugate_prior_is_taken_from_the_rows_that_are_seen(rng, begun):
    rows = rng.normal(size=(100, 2))
    prior = fastgmm.ConjugatePrior.fraley_raftery()
    select(rows, 1, "full", "held-out", prior=prior, **QUICK)
    for fold, state in enumerate(begun[0][1:]):
        seen = rows[of_rows(100) != fold]
        assert_allclose(state.rule.prior.mean, seen.mean(axis=0), rtol=1e-12)


def test_a_row_far_away_counts_as_it_is(blobs):
    rows = np.vstack([blobs, [[1e4, 0.0]]])
    table = select(rows, 1, "full", "held-out", random_state=0).table
    assert table["held_out"][0] < -1e3
    assert np.isfinite(table["standard_error"]).all()


# Weights


def test_weights_of_one_are_no_weights(blobs):
    settings = QUICK | {"covariance_type": ["full", "spherical"], "criterion": "held-out"}
    expected = select(blobs, (1, 2), **settings).table
    found = select(blobs, (1, 2), sample_weight=np.ones(300), **settings).table
    for name in ("held_out", "standard_error"):
        assert_allclose(found[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize("prior", ["auto", None])
def test_scaled_weights_change_nothing(blobs, rng, prior):
    weights = rng.choice([0.0, 0.25, 0.5, 1.0], size=300)
    settings = {"covariance_type": "full", "criterion": "held-out", "random_state": 0}
    # a prior counts as rows, and takes a row of a weight above 1 for several
    units = (1.0, 2.0**-20) if prior == "auto" else (1.0, 2.0**-20, 2.0**20)
    expected, *others = (
        select(blobs, (1, 2), prior=prior, sample_weight=unit * weights, **settings)
        for unit in units
    )
    for found in others:
        assert found.best_estimator_.n_components == expected.best_estimator_.n_components
        for name in ("held_out", "standard_error"):
            assert_allclose(found.table[name], expected.table[name], rtol=1e-9)
        assert_array_equal(found.table["n_passes"], expected.table["n_passes"])


# The same bits


def assert_same(found, expected):
    for name, column in expected.table.items():
        assert_array_equal(found.table[name], column, name)
    assert_array_equal(found.best_estimator_.means_, expected.best_estimator_.means_)


def test_chunks_files_and_streams_give_the_bits_of_an_array(blobs, tmp_path):
    settings = {"covariance_type": "full", "criterion": "held-out"} | QUICK
    expected = select(blobs, (1, 2), **settings)
    np.save(tmp_path / "rows.npy", blobs)
    chunks = np.split(blobs, [1, 2, 7, 120, 299])
    for data in (tmp_path / "rows.npy", lambda: iter(chunks), open_source(blobs)):
        assert_same(select(data, (1, 2), **settings), expected)


def test_threads_do_not_change_a_bit(n_threads):
    import numba

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30_000, 2)) + 3.0 * rng.integers(2, size=(30_000, 1))
    settings = QUICK | {"max_iter": 3, "covariance_type": "full", "criterion": "held-out"}
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        expected = select(rows, (1, 2), **settings)
        numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
        assert_same(select(rows, (1, 2), **settings), expected)
    finally:
        numba.set_num_threads(before)


@pytest.mark.slow  # compiles float32
def test_float32_rows_are_scored_too(blobs):
    settings = QUICK | {"covariance_type": "full", "criterion": "held-out", "prior": None}
    expected = select(blobs, (1, 2), **settings)
    found = select(blobs.astype(np.float32), (1, 2), **settings)
    assert found.best_estimator_.means_.dtype == np.float32
    # log densities of 24 bits, of size 3: 2e-7 each
    assert_allclose(found.table["held_out"], expected.table["held_out"], rtol=1e-5)


def test_a_dask_array_gives_what_its_rows_give(blobs):
    dask_array = pytest.importorskip("dask.array")
    settings = QUICK | {"covariance_type": "full", "criterion": "held-out", "prior": None}
    expected = select(blobs, (1, 2), **settings)
    found = select(dask_array.from_array(blobs, chunks=(90, 2)), (1, 2), **settings)
    assert_allclose(found.table["held_out"], expected.table["held_out"], rtol=1e-9)


def test_a_search_that_is_ended_goes_on_from_its_checkpoint(blobs, tmp_path, monkeypatch):
    settings = {"covariance_type": "full", "criterion": "held-out", "random_state": 0}
    settings |= {"n_components": (1, 2, 301), "checkpoint": tmp_path / "run.ckpt"}
    settings |= {"max_iter": 12, "tol": 0.0}
    expected = select(blobs, **settings | {"checkpoint": None})
    ended = 0
    while disturbed(lambda: select(blobs, **settings), 5, monkeypatch):
        ended += 1
        assert ended < 20
    assert ended > 1
    monkeypatch.setattr(held_out.sweep, "starts_of", pytest.fail)  # starts are not grown again
    assert_same(select(blobs, **settings), expected)
    with pytest.raises(fastgmm.errors.CheckpointError, match="criterion was held-out and is bic"):
        select(blobs, **settings | {"criterion": "bic"})


def test_all_fits_share_their_passes(blobs):
    source = CountedSource(blobs)
    settings = {"covariance_type": "full", "criterion": "held-out", "random_state": 0}
    table = select(source, (2, 3), prior=None, max_iter=9, tol=0.0, **settings).table
    assert table["n_passes"].max() == 9
    # two samples, the criteria, and the scores of held-out rows
    assert source.n_passes == table["n_passes"].max() + 4


# What it is given, and what it gives


def test_the_table_has_both_columns_only_where_rows_are_held_out(blobs, found):
    assert list(found.table)[-2:] == ["held_out", "standard_error"]
    assert "held_out" not in select(blobs, 1, "full", random_state=0).table
    assert np.isfinite(found.table["bic"]).all()
    assert not any(np.isnan(found.table[name]).any() for name in ("held_out", "standard_error"))
    line = repr(found.table).splitlines()[1]
    assert f"{found.table['held_out'][0]:.5f}" in line


def test_a_result_can_be_pickled(found):
    again = pickle.loads(pickle.dumps(found))
    assert_array_equal(again.table["held_out"], found.table["held_out"])
    assert again.criterion == "held-out"


@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
def test_a_candidate_that_lacks_a_fit_has_no_score(rng):
    """Of 100 rows 80 are left without a fold: too few for 90 components, not for 100 rows."""
    rows = rng.normal(size=(100, 1))
    found = select(rows, (1, 2, 90), "spherical", "held-out", random_state=0, max_iter=3)
    assert np.isfinite(found.table["log_likelihood"]).all()
    assert_array_equal(found.table["held_out"] == -np.inf, [False, False, True])
    assert_array_equal(found.table["standard_error"] == np.inf, [False, False, True])
    assert not found.table["converged"][2]
    assert found.best_estimator_.n_components < 90


def test_when_no_candidate_can_be_scored_the_reason_is_raised():
    with pytest.raises(fastgmm.DegenerateCovarianceError, match="ill-defined"):
        select(np.ones((10, 2)), range(1, 4), criterion="held-out", random_state=0, reg_covar=0.0)
    rows = 1e-6 * np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    rows[7] = 1e15  # 1e21 deviations, whose square float32 does not hold, away from the others
    with pytest.raises(DataError, match=r"without a density.*scale the features"):
        select(rows, 1, "spherical", "held-out", random_state=0, reg_covar=0.0)


def test_an_estimator_in_a_pipeline_takes_the_words(blobs):
    model = AutoGaussianMixture((2, 4), covariance_type="full", criterion="held-out-1se", **QUICK)
    assert model.fit(blobs).n_components_ == 4


@pytest.mark.parametrize(
    ("n_rows", "count", "said"),
    [
        (4, 1, "of 4 rows.* 3 are left.*n_components=1; give at least 5 rows"),
        (10, 9, "of 10 rows.* 8 are left.*n_components=9; give at least 12 rows"),
        (11, 9, "of 11 rows.* 8 are left.*n_components=9; give at least 12 rows"),
    ],
)
def test_too_few_rows_name_both_numbers_and_the_way_out(rng, n_rows, count, said):
    with pytest.raises(DataError, match=f"criterion='held-out'.*{said}.*fewer.*criterion='bic'"):
        select(rng.normal(size=(n_rows, 1)), count, "spherical", "held-out", random_state=0)


@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
def test_twelve_rows_are_enough_for_nine_components(rng):
    rows = rng.normal(size=(12, 1))
    found = select(rows, (1, 9), "spherical", "held-out", random_state=0)
    assert np.isfinite(found.table["held_out"]).all()


def test_rows_of_weight_zero_are_none(rng):
    weights = np.zeros(50)
    weights[rows_by_fold(0, 50)[2]] = 1.0  # all in one fold
    with pytest.raises(DataError, match="of 10 rows of positive weight 0 are left"):
        select(rng.normal(size=(50, 1)), 1, criterion="held-out", sample_weight=weights)


def test_a_wrong_word_is_told_the_new_ones(blobs):
    with pytest.raises(ValueError, match=r"mean 'held-out'.*'icl', 'held-out', 'held-out-1se'"):
        select(blobs, criterion="heldout")


def test_small_weights_raise_no_warning_of_counted_rows(blobs):
    select(blobs, 2, "full", "held-out", sample_weight=np.full(300, 0.01), random_state=0)


def test_a_best_that_did_not_converge_is_said(blobs):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        select(blobs, 3, "full", "held-out", random_state=0, max_iter=1)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_plot_has_error_bars(blobs, criterion):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found = select(blobs, (1, 2), ["full", "spherical"], criterion, **QUICK)
    ax = found.plot()
    assert len(ax.containers) == 2
    bars = ax.containers[0].lines[2][0].get_segments()
    heights = [bar[1][1] - bar[0][1] for bar in bars]
    assert_allclose(heights, 2.0 * found.table["standard_error"][:2], rtol=1e-9)
    assert "higher is better" in ax.get_ylabel()
    pyplot.close("all")
