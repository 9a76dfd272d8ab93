import pickle
import weakref
from operator import or_

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numba import get_num_threads

from fastgmm import GaussianMixture, open_source, passes, select
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.passes import subsample
from fastgmm.sources import with_weights
from fastgmm.sources.dask.collection import DaskSource

MEANS = np.array([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0]])


@pytest.fixture(autouse=True, params=["sync", "threads"])
def scheduler(request):
    with dask.config.set(scheduler=request.param):
        yield


@pytest.fixture
def rows(rng):
    found = np.concatenate([rng.normal(size=(500, 3)), rng.normal(4.0, 2.0, size=(300, 3))])
    return found[rng.permutation(800)]


def fitted(X, sample_weight=None, **options):
    start = {"weights_init": [0.5, 0.5], "means_init": MEANS, "precisions_init": [np.eye(3)] * 2}
    return GaussianMixture(2, **start | options).fit(X, sample_weight=sample_weight)


def bits(model):
    names = "weights_", "means_", "covariances_"
    return b"".join(getattr(model, name).tobytes() for name in names)


def assert_same_fit(found, expected):
    # sums of 800 rows in another order: sqrt(800) eps a pass, some passes
    for name in ("weights_", "means_", "covariances_", "lower_bound_"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10
        )
    assert found.n_rows_ == expected.n_rows_
    assert found.n_iter_ == expected.n_iter_


def unknown(array):
    """The same array, its chunks of unknown length."""
    everywhere = da.ones(array.shape[0], chunks=array.chunks[0], dtype=bool)
    return array[everywhere]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_fit_is_that_of_the_same_rows_in_memory(rows, covariance_type):
    options = {"covariance_type": covariance_type, "precisions_init": None, "random_state": 0}
    found = fitted(da.from_array(rows, chunks=(90, 3)), **options)
    assert_same_fit(found, fitted(rows, **options))


@pytest.mark.parametrize("is_weighed", [False, True])
def test_partitions_of_whole_blocks_give_the_sample_of_memory(rng, is_weighed):
    rows = rng.normal(size=(2 * block_rows(8) + 5, 8)).astype(np.float32)
    array = da.from_array(rows, chunks=(block_rows(8), 8))
    sources = [open_source(each) for each in (array, rows)]
    if is_weighed:
        weights = rng.lognormal(sigma=2.0, size=len(rows))
        sources = [with_weights(source, weights) for source in sources]
    found, expected = (
        subsample.draw_sample(source, np.random.default_rng(0)) for source in sources
    )
    assert len(found.rows) == 50_000
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.weights, expected.weights)


def test_partitions_of_known_length_offer_a_sample_no_more_than_their_share(rng, monkeypatch):
    rows = rng.normal(size=(200_000, 2))
    source = open_source(da.from_array(rows, chunks=(2_000, 2)))
    offered = []

    def counted(a, b, merged=subsample._merged):
        offered.extend(len(part[0]) for each in (a, b) for part in each.parts)
        return merged(a, b)

    monkeypatch.setattr(subsample, "_merged", counted)
    assert len(subsample.draw_sample(source, np.random.default_rng(0)).rows) == 50_000
    # a quarter of the 2000 rows of each partition, and by chance a few more; then sums of several
    assert sum(n_rows < 700 for n_rows in offered) == 100
    assert max(offered) <= 50_000


def test_the_first_rows_alone_are_taken_from_the_partitions_that_hold_them(rows):
    visited = []

    def seen(block, block_info=None):
        if block_info:
            visited.append(block_info[0]["chunk-location"][0])
        return block

    weights = np.arange(800.0)
    for array in (
        da.from_array(rows, chunks=(90, 3)),
        unknown(da.from_array(rows, chunks=(90, 3))),
    ):
        visited.clear()
        source = with_weights(open_source(array.map_blocks(seen, dtype=float)), weights)
        visited.clear()
        found = source.first_rows(100)
        np.testing.assert_array_equal(found.rows, rows[:100])
        np.testing.assert_array_equal(found.weights, weights[:100])
        assert visited == [0, 1]
    assert len(source.first_rows(900).rows) == 800
    assert open_source(da.zeros((0, 3), chunks=(1, 3))).first_rows(5) is None


def test_the_same_bits_come_from_every_scheduler(rows):
    array = da.from_array(rows, chunks=(50, 3))
    found = bits(fitted(array))
    for options in ({"scheduler": "sync"}, {"scheduler": "threads", "num_workers": 4}):
        with dask.config.set(options):
            assert bits(fitted(array)) == found


def test_a_dataframe_gives_its_names_and_takes_nullable_columns(rows):
    table = pd.DataFrame(rows, columns=["x", "y", "z"]).astype({"y": "Float64"})
    found = fitted(dd.from_pandas(table, npartitions=7))
    assert_same_fit(found, fitted(rows))
    assert list(found.feature_names_in_) == ["x", "y", "z"]
    with pytest.raises(ValueError, match=r"feature names.*x, y, z.*Got z, y, x"):
        found.predict(dd.from_pandas(table[["z", "y", "x"]], npartitions=7))


def test_columns_and_weights_are_chosen_by_name(rows, rng):
    weights = rng.integers(0, 3, size=len(rows))
    table = pd.DataFrame(rows, columns=list("xyz")).assign(count=weights, text="no number")
    source = open_source(dd.from_pandas(table, npartitions=5), columns=["x", "y", "z"])
    assert_same_fit(fitted(source), fitted(rows))
    frame = dd.from_pandas(table, npartitions=5)
    weighted = open_source(frame, columns=["x", "y", "z"], weight="count")
    assert_same_fit(fitted(weighted), fitted(rows, weights))
    with pytest.raises(DataError, match="column 'text'"):
        GaussianMixture(2).fit(frame)


@pytest.mark.parametrize(
    "chunks",
    [(800,), (0, 400, 0, 0, 400, 0), (1,) * 20 + (780,), (792, 1, 7), (90,) * 8 + (80,)],
    ids=str,
)
@pytest.mark.parametrize("are_known", [True, False])
def test_partitions_of_any_length_give_the_fit_of_the_rows(rows, chunks, are_known):
    array = da.from_array(rows, chunks=(chunks, 3))
    array = array if are_known else unknown(array)
    found = fitted(array)
    assert_same_fit(found, fitted(rows))
    assert found.predict(array).chunks[0] == chunks if are_known else True
    np.testing.assert_array_equal(found.predict(array), fitted(rows).predict(rows))


def test_partitions_without_rows_alone_are_refused():
    with pytest.raises(ValueError, match="n_samples = 0"):
        fitted(da.zeros((0, 3), chunks=(1, 3)))
    with pytest.raises(DataError, match="no rows"):
        fitted(unknown(da.zeros((0, 3), chunks=(1, 3))))


@pytest.mark.parametrize("kind", ["numpy", "dask", "other chunks"])
def test_weights_come_from_an_array_or_a_collection(rows, rng, kind):
    weights = rng.integers(0, 3, size=len(rows)).astype(float)
    given = {
        "numpy": weights,
        "dask": da.from_array(weights, chunks=90),
        "other chunks": da.from_array(weights, chunks=128),
    }[kind]
    expected = fitted(rows, weights)
    array = da.from_array(rows, chunks=(90, 3))
    assert_same_fit(fitted(array, given), expected)
    np.testing.assert_allclose(
        expected.score(array, sample_weight=given), expected.score(rows, sample_weight=weights)
    )
    if kind != "other chunks":
        assert_same_fit(fitted(unknown(array), given), expected)


def test_weights_of_a_dataframe_come_from_a_series_or_an_array(rows, rng):
    weights = rng.integers(0, 3, size=len(rows)).astype(float)
    table = pd.DataFrame(rows, columns=list("xyz")).assign(w=weights)
    frame = dd.from_pandas(table, npartitions=4)
    expected = fitted(rows, weights)
    assert_same_fit(fitted(frame[["x", "y", "z"]], frame["w"]), expected)
    assert_same_fit(fitted(frame[["x", "y", "z"]], weights), expected)


def test_weights_that_do_not_fit_are_refused(rows):
    array = da.from_array(rows, chunks=(400, 3))
    for weights, complaint in [
        (np.ones(3), "3 sample weights were given for 800 rows"),
        (da.ones(3, chunks=3), "3 sample weights were given for 800 rows"),
        (da.ones((800, 1), chunks=400), "1-d"),
        (np.zeros(800), "all weights .* are zero"),
        (np.where(np.arange(800) == 401, -1.0, 1.0), "row 1 of partition 1 .*negative weight -1"),
    ]:
        with pytest.raises(DataError, match=complaint):
            fitted(array, weights)
    with pytest.raises(
        DataError, match=r"partition [01] .* 400 rows and sample weights .*\([35]00,\)"
    ):
        fitted(unknown(array), da.ones(800, chunks=((300, 500),)))
    with pytest.raises(DataError, match="2 partitions and its sample weights 1"):
        fitted(unknown(array), da.ones(800, chunks=800))


def test_a_partition_whose_weights_are_all_zero_counts_for_nothing(rows):
    weights = np.r_[np.zeros(400), np.ones(400)]
    array = da.from_array(rows, chunks=(400, 3))
    assert_same_fit(fitted(array, weights), fitted(rows[400:]))


@pytest.mark.parametrize("are_known", [True, False])
def test_a_bad_number_is_named_by_its_partition(rows, are_known):
    rows[750, 1] = np.nan
    array = da.from_array(rows, chunks=(100, 3))
    where = ", which begins at row 700" if are_known else ""
    with pytest.raises(
        DataError,
        match=f"row 50 of partition 7 of the Dask Array{where} holds no value .* column 1",
    ):
        fitted(array if are_known else unknown(array))


def test_a_missing_cell_of_a_frame_is_named_by_its_partition(rows):
    table = pd.DataFrame(rows, columns=list("xyz")).astype("Float64")
    table.loc[500, "y"] = pd.NA
    with pytest.raises(DataError, match=r"row 100 of partition 2 of the Dask DataFrame .*'y'"):
        fitted(dd.from_pandas(table, npartitions=4))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: da.zeros((8, 4), chunks=(8, 2)), r"2 groups of columns.*rechunk\(\{1: -1\}\)"),
        (lambda: da.zeros(8), "1 dimension"),
        (lambda: da.zeros((8, 2, 2)), "3 dimensions"),
        (lambda: da.zeros((8, 2), dtype=complex), "Complex data"),
        (lambda: dd.from_pandas(pd.Series([1.0, 2.0]), npartitions=1), r"\.to_frame\(\)"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_before_any_pass(make, complaint):
    with pytest.raises(DataError, match=complaint):
        open_source(make())


@pytest.mark.parametrize("make", [lambda: dask.delayed(np.ones)((4, 2)), lambda: db.range(9, 2)])
def test_what_dask_itself_does_not_know_is_refused_with_the_way_to_tell_it(make):
    for give in (lambda: fitted(make()), lambda: fitted(da.ones((9, 3)), make())):
        with pytest.raises(DataError, match=r"does not say what it holds; .*from_delayed"):
            give()


def test_partitions_of_another_length_than_announced_are_refused(rows):
    short = da.from_delayed(dask.delayed(lambda: rows[:100])(), shape=(200, 3), dtype=float)
    array = da.concatenate([da.from_array(rows, chunks=(400, 3)), short])
    message = "partition 2 of the Dask Array, which begins at row 800 has 100 rows where .* 200"
    with pytest.raises(DataError, match=message):
        fitted(array)
    with pytest.raises(DataError, match=message):
        fitted(rows).predict(array).compute()


def test_partitions_unlike_their_meta_are_refused(rows):
    array = da.from_array(rows, chunks=(400, 3))
    lies = array.map_blocks(
        lambda block: block, dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    with pytest.raises(DataError, match="holds float64 where the collection announces float32"):
        fitted(lies)
    narrow = array.map_blocks(lambda block: block[:, :2], dtype=float)
    with pytest.raises(DataError, match=r"partition [01] .*has the columns \[0, 1\]"):
        fitted(narrow)


def test_a_column_of_arrays_is_refused_with_the_way_out(rows):
    cells = pd.DataFrame({"x": rows[:, 0], "e": list(rows)})
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(cells, npartitions=2)
    with pytest.raises(DataError, match=r"several numbers in each cell of \['e'\].*X.drop\("):
        GaussianMixture(2).fit(frame)
    model = GaussianMixture(2, random_state=0).fit(open_source(frame, ["x"]))
    assert model.n_rows_ == len(rows)


def test_rows_that_change_between_passes_are_noticed(rows):
    array = da.from_array(rows, chunks=(400, 3))
    drawn_anew = array.map_blocks(
        lambda block: block + np.random.default_rng().normal(), dtype=float
    )
    with pytest.raises(SourceChangedError, match="other numbers in this pass"):
        fitted(drawn_anew)


def test_predictions_are_lazy_and_cut_as_the_rows_are(rows):
    array, model = da.from_array(rows, chunks=(90, 3)), fitted(rows)
    for method in (model.predict, model.predict_proba, model.score_samples):
        found, expected = method(array), method(rows)
        assert isinstance(found, da.Array)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.chunks[0] == array.chunks[0]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(method(unknown(array)).compute(), expected)


def test_predictions_of_a_frame_are_an_array_that_fits_beside_it(rows):
    table = pd.DataFrame(rows, columns=list("xyz"), index=3 * np.arange(800))
    frame = dd.from_pandas(table, npartitions=3)
    model = fitted(frame)
    lazy = frame.assign(label=model.predict(frame))
    assert lazy.divisions == frame.divisions
    assert lazy.dtypes["label"] == np.int64
    beside = lazy.compute()
    np.testing.assert_array_equal(beside.index, table.index)
    np.testing.assert_array_equal(beside["label"], model.predict(beside[["x", "y", "z"]]))
    assert model.predict_proba(frame).compute().shape == (800, 2)


def test_scores_are_those_of_the_rows_in_memory(rows):
    array, model = da.from_array(rows, chunks=(90, 3)), fitted(rows)
    for method in (model.score, model.aic, model.bic, model.icl):
        np.testing.assert_allclose(method(array), method(rows), rtol=1e-12)
    labels = GaussianMixture(2, random_state=0).fit_predict(array)
    assert isinstance(labels, da.Array)
    assert set(labels.compute()) == {0, 1}


def test_a_number_of_components_is_selected_as_in_memory(rows):
    found, expected = (
        select(each, [1, 2, 3], random_state=0).best_estimator_
        for each in (da.from_array(rows, chunks=(90, 3)), rows)
    )
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-10)


def test_a_walk_on_the_client_gives_the_rows(rows):
    weights = np.arange(800.0)
    source = with_weights(open_source(da.from_array(rows, chunks=(90, 3))), weights)
    chunks = list(source.chunks())
    np.testing.assert_array_equal(np.concatenate([chunk.rows for chunk in chunks]), rows)
    np.testing.assert_array_equal(np.concatenate([chunk.weights for chunk in chunks]), weights)


def test_one_weight_for_rows_of_unknown_number_is_refused_with_the_way_out(rows):
    array = da.from_array(rows, chunks=(90, 3))
    message = r"sample_weight=2\.0 is one weight .* rows the Dask Array has .*compute_chunk_sizes"
    for method in (GaussianMixture(2).fit, fitted(rows).partial_fit):
        with pytest.raises(DataError, match=message):
            method(unknown(array), sample_weight=2.0)
    counted = unknown(array).compute_chunk_sizes()
    assert fitted(counted, 2.0).row_weight_ == 1600.0


@pytest.mark.parametrize("is_first", [True, False])
def test_partial_fit_learns_what_it_learns_of_the_rows_in_memory(rows, is_first):
    weights, found = np.arange(800.0), []
    for cut in (lambda each: each, lambda each: da.from_array(each, chunks=(90, 3)[: each.ndim])):
        model = GaussianMixture(2, random_state=0, reg_covar=1e-3)
        model = model if is_first else model.fit(rows[:300])
        found.append(model.partial_fit(cut(rows), sample_weight=cut(weights)))
    assert_same_fit(*found)


def test_partial_fit_brings_one_partition_after_the_other(rows):
    held, most = [], []

    def made(block_info=None):
        number, _ = block_info[None]["chunk-location"]
        most.append(sum(each() is not None for each in held))
        found = np.random.default_rng(number).normal(size=(500, 3))
        held.append(weakref.ref(found))
        return found

    model = fitted(rows)
    array = da.map_blocks(made, chunks=((500,) * 8, (3,)), dtype=float)
    most.clear()
    model.partial_fit(array)
    assert len(most) == 8  # each is made once
    assert max(most) == 1  # and is let go when the next but one is made


def test_a_partition_is_computed_by_one_thread(rows):
    before = get_num_threads()
    source = open_source(da.from_array(rows, chunks=(90, 3)))
    assert source.gather(threads_of_every_block, or_, 100) == {1}
    assert get_num_threads() == before


def threads_of_every_block(source, walk):
    return {get_num_threads() for _ in walk}


@pytest.mark.parametrize("structure", ["full", "tied", "diagonal", "spherical"])
def test_what_is_sent_and_what_returns_is_of_the_size_of_the_parameters(make_case, structure):
    n_rows, n_features, n_components = 20_000, 20, 10
    case = make_case(structure, n_rows, n_features, n_components)
    source = open_source(da.from_array(case.rows, chunks=(1_000, n_features)))
    sent, returned = [], []

    def watched(wanted):
        graph = dict(wanted.dask)
        sent.extend(each for key, each in graph.items() if str(key).startswith("fastgmm-work"))
        found = DaskSource._compute(source, wanted)
        returned.append(pickle.dumps(found))
        return found

    source._compute = watched
    passes.statistics(source, [case.parameters] * 3)
    numbers = n_components * (1 + n_features + n_features**2)
    if structure == "tied":
        numbers = n_components * (1 + n_features) + 2 * n_features**2
    if structure in ("diagonal", "spherical"):
        numbers = n_components * (1 + 2 * n_features)
    assert len(sent) == len(returned) == 1
    # factors and moments are padded to registers of eight, and framed in some 4 kB
    assert len(pickle.dumps(sent[0])) < 3 * 8 * 1.6 * numbers + 4_000
    assert len(returned[0]) < 3 * 8 * 1.6 * numbers + 4_000
    assert len(pickle.dumps(sent[0])) + len(returned[0]) < 0.1 * case.rows.nbytes
