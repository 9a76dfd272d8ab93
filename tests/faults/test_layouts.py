"""Types, shapes and layouts in memory, on disk and in frames (34-57)."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import GaussianMixture, open_source
from fastgmm.errors import DataError, SourceChangedError


@pytest.fixture(scope="module")
def rows():
    """Two clusters of whole numbers, which every type can hold."""
    rng = np.random.default_rng(11)
    rows = rng.integers(10, 30, size=(300, 3)).astype(np.float64)
    rows[150:] += 60.0
    rows.flags.writeable = False
    return rows


@pytest.fixture(scope="module")
def fitted(rows):
    return fit(rows)


def fit(X, **settings):
    return GaussianMixture(2, random_state=0, **settings).fit(X)


def assert_same_bits(model, expected):
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        assert_array_equal(getattr(model, name), getattr(expected, name), strict=True)


INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


@pytest.mark.parametrize("dtype", ["f2", *INTEGERS, "O", "g", ">f8", ">i4", ">f2"])
def test_types_that_hold_the_same_numbers_give_the_same_bits(rows, fitted, dtype):
    assert_same_bits(fit(rows.astype(dtype)), fitted)
    assert_array_equal(fitted.predict_proba(rows.astype(dtype)), fitted.predict_proba(rows))


def test_single_precision_of_the_other_byte_order_stays_single(rows):
    assert_same_bits(fit(rows.astype(">f4")), fit(rows.astype("f4")))


def test_truth_values_are_zeros_and_ones(rng):
    truth = rng.random((200, 3)) < [0.2, 0.5, 0.8]
    model = GaussianMixture(1).fit(truth)
    assert_same_bits(model, GaussianMixture(1).fit(truth.astype(float)))
    assert_allclose(model.means_[0], truth.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1.5", "the text '1.5'"),
        (b"2", "the text"),
        ("one", "the text 'one'"),
        (None, r"no value \(NaN or null\)"),
        ([1.0], r"\[1.0\]"),
        (1j, "1j"),
        (Decimal("NaN"), "no value"),
        (Decimal("sNaN"), "Decimal"),
        (timedelta(1), "datetime.timedelta"),
        (10**400, "past the largest float"),
        (np.nan, "no value .NaN"),
    ],
    ids=[
        "text number",
        "bytes",
        "text",
        "None",
        "list",
        "complex",
        "Decimal NaN",
        "signal",
        "timedelta",
        "10**400",
        "NaN",
    ],
)
def test_a_cell_that_is_no_number_is_named(rows, fitted, cell, words):
    objects = rows.astype(object)
    objects[7, 1] = cell
    for data in (objects, [objects[:100], objects[100:]]):
        with pytest.raises((DataError, TypeError), match=f"row 7 of.*{words}.*column 1"):
            fit(data)
    with pytest.raises((DataError, TypeError), match=f"row 7 of.*{words}.*column 1"):
        fitted.predict(objects)


def test_objects_that_are_numbers_are_taken(rows):
    objects = rows.astype(object)
    objects[:2] = [[Fraction(1, 2), np.float32(0.5), True], [Decimal("0.1"), 2, 10**18]]
    numbers = rows.copy()
    numbers[:2] = [[0.5, 0.5, 1.0], [0.1, 2, 10**18]]
    assert_same_bits(fit(objects), fit(numbers))


@pytest.mark.parametrize("kind", [str, "S", "T"])
def test_text_is_never_parsed(rows, kind):
    dtype = np.dtypes.StringDType() if kind == "T" else kind
    with pytest.raises(DataError, match=r"row 0 of the array holds the text .* in column 0"):
        fit(rows.astype(dtype))
    table = rows[:4].tolist()
    table[2][1] = "12.5"
    with pytest.raises(DataError, match=r"row 2 .* text '12.5' in column 1"):
        fit(table)


def test_complex_numbers_are_refused(rows):
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit(rows.astype(complex))


def packed(rows):
    records = np.zeros(len(rows), dtype=[("tag", "u1"), ("x", "f8", (3,))])
    records["x"] = rows
    return records["x"]


def strided(rows):
    wide = np.full((2 * len(rows), 7), np.nan)
    wide[::2, 1:7:2] = rows
    return wide[::2, 1:7:2]


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "rows backwards": lambda rows: rows[::-1].copy()[::-1],
    "columns backwards": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "transposed": lambda rows: rows.T.copy().T,
    "a memoryview": lambda rows: memoryview(np.array(rows)),
}


@pytest.mark.parametrize("layout", [*LAYOUTS, "unaligned"])
def test_layouts_give_the_same_bits(rows, fitted, layout):
    data = (LAYOUTS | {"unaligned": packed})[layout](rows)
    assert_same_bits(fit(data), fitted)
    assert_array_equal(fitted.score_samples(data), fitted.score_samples(rows))


def test_a_broadcast_view_is_read_in_blocks():
    row = np.broadcast_to([1.0, 2.0], (3_000_000, 2))
    scores = GaussianMixture.from_parameters([1.0], [[1.0, 2.0]], [np.eye(2)]).score(row)
    assert scores == pytest.approx(-np.log(2 * np.pi))


def test_what_is_read_only_is_read(rows, fitted, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert_same_bits(fit(mapped), fitted)
    assert not rows.flags.writeable
    writeable = rows.copy()
    fit(writeable)
    assert_array_equal(writeable, rows)
    assert writeable.flags.writeable


def test_a_mask_is_seen_wherever_it_is_given(rows, fitted):
    masked = np.ma.masked_equal(rows, rows[5, 1])
    first = int(np.argwhere(masked.mask)[0][0])
    for act in (fit, fitted.predict, fitted.score):
        with pytest.raises(DataError, match=f"row {first} .* is masked"):
            act(masked)
    with pytest.raises(DataError, match="masked"):
        fit([masked[:150], masked[150:]])
    with pytest.raises(DataError, match="means_init: means has masked values"):
        fit(rows, means_init=np.ma.masked_equal(rows[:2], rows[0, 0]))
    assert_same_bits(fit(np.ma.asarray(rows)), fitted)


def test_frames_hold_numbers_or_are_refused_by_column(rows, fitted):
    frame = pandas.DataFrame(rows, columns=list("xyz"))
    assert_array_equal(fit(frame.convert_dtypes()).means_, fitted.means_)
    refused = {
        "NaN": frame.assign(y=pandas.array([1, None] * 150, dtype="Int64")),
        "categories": frame.assign(y=pandas.Categorical(["a", "b"] * 150)),
        "dates": frame.assign(y=pandas.to_datetime(["2020-01-01"] * 300)),
        "durations": frame.assign(y=pandas.to_timedelta([1] * 300)),
        "text": frame.assign(y=["1"] * 300),
    }
    for words, bad in refused.items():
        with pytest.raises(DataError, match=f"{words}.*'y'|'y'.*{words}"):
            fit(bad)
    with pytest.raises(DataError, match="column 'x' stands twice"):
        fit(frame.set_axis(["x", "x", "z"], axis=1))


def test_arrow_tables_hold_numbers_or_are_refused_by_column(rows, fitted):
    columns = {name: pyarrow.array(rows[:, at]) for at, name in enumerate("xyz")}
    table = pyarrow.table(columns)
    chunked = pyarrow.concat_tables([table[:7], table[7:7], table[7:]])
    padded = pyarrow.concat_tables([table[:5], table]).combine_chunks()[5:]  # slices, offset
    for data in (table, chunked, padded):
        assert_array_equal(fit(data).means_, fitted.means_)
    refused = {
        "no value": pyarrow.array([1.0, None] * 150),
        "dictionary": pyarrow.array(["a", "b"] * 150).dictionary_encode(),
        "list<item: string>": pyarrow.array([["a"]] * 300),
        "timestamp": pyarrow.array([1] * 300, pyarrow.timestamp("s")),
    }
    for words, column in refused.items():
        with pytest.raises(DataError, match=f"{words}.*'y'|'y'.*{words}"):
            fit(pyarrow.table(columns | {"y": column}))


def test_parquet_is_matched_by_name_or_refused_by_file_and_column(rows, fitted, tmp_path):
    frame = pandas.DataFrame(rows, columns=list("xyz"))

    def write(name, part, **options):
        table = pyarrow.Table.from_pandas(part, preserve_index=False)
        pyarrow.parquet.write_table(table, tmp_path / name, **options)

    write("1.parquet", frame[:20], row_group_size=1)
    write("2.parquet", frame[20:20])
    write("3.parquet", frame.loc[20:149, ["z", "x", "y"]])
    write("4.parquet", frame[150:].astype({"y": "int32"}))
    assert_array_equal(fit(tmp_path).means_, fitted.means_)

    write("5.parquet", frame.loc[:3, ["x", "y"]])
    with pytest.raises(DataError, match=r"5.parquet has no column 'z'"):
        fit(tmp_path)
    write("5.parquet", frame[:3].astype({"z": str}))
    with pytest.raises(DataError, match=r"column 'z' of 5.parquet holds (large_)?string"):
        fit(tmp_path)
    write("5.parquet", frame, compression="none", use_dictionary=False)
    broken = bytearray((tmp_path / "5.parquet").read_bytes())
    broken[4:60] = bytes(56)
    (tmp_path / "5.parquet").write_bytes(broken)
    with pytest.raises(DataError, match=r"cannot read 5.parquet"):
        fit(tmp_path)


@pytest.mark.parametrize("make", [scipy.sparse.csr_array, scipy.sparse.coo_matrix])
def test_sparse_matrices_are_refused_with_the_way_out(rows, fitted, make):
    for act in (fit, fitted.predict, open_source):
        with pytest.raises((TypeError, DataError), match="toarray"):
            act(make(rows))
    with pytest.raises(DataError, match="sparse"):
        GaussianMixture(2).fit(rows, sample_weight=make(np.ones((1, len(rows)))))


class Exchanged:
    """What another library's array offers: DLPack, on a device of our choice."""

    def __init__(self, array, device):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


def test_arrays_of_other_libraries_are_read_in_memory_and_refused_elsewhere(rows, fitted):
    assert_same_bits(fit(Exchanged(rows.copy(), 1)), fitted)
    for act in (fit, fitted.predict, open_source):
        with pytest.raises(DataError, match="the Exchanged lies on another device; copy it"):
            act(Exchanged(rows.copy(), 2))


@pytest.mark.parametrize("shape", [(), (300,), (2, 150, 3)])
def test_other_dimensions_are_refused(rows, fitted, shape):
    data = np.resize(rows, shape)
    for act in (fit, fitted.predict, fitted.score_samples):
        with pytest.raises(ValueError, match=r"[Rr]eshape your data|dim 3"):
            act(data)
    with pytest.raises(ValueError, match=r"[Rr]eshape your data|2 dimensions"):
        open_source([data] if data.ndim == 2 else data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "None is no table of rows"),
        ({}, "a dict .of nothing. is no table"),
        ({"x": [1.0]}, "a dict .of 'x'. is no table.*DataFrame"),
        ({1.0, 2.0}, "a set has no order"),
        ("", "the path is empty"),
    ],
    ids=repr,
)
def test_what_is_no_table_is_told_so(fitted, data, words):
    for act in (fit, fitted.predict):
        with pytest.raises(DataError, match=words):
            act(data)


def test_an_archive_of_arrays_is_refused_with_the_way_out(fitted, tmp_path):
    fitted.save(tmp_path / "model.npz")
    with pytest.raises(DataError, match=r"archive of arrays .a model file is one"):
        fit(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as archive, pytest.raises(DataError, match="its arrays"):
        fit(archive)


def test_nothing_to_fit_is_refused_and_nothing_to_predict_is_nothing(rows, fitted):
    for data in (rows[:0], rows[:, :0], lambda: iter([rows[:0]])):
        with pytest.raises(ValueError, match=r"0 (sample|feature)|no rows"):
            fit(data)
    assert fitted.predict(rows[:0]).shape == (0,)
    assert fitted.predict_proba(rows[:0]).shape == (0, 2)
    assert fitted.score_samples(rows[:0]).shape == (0,)
    with pytest.raises(DataError, match=r"no rows? "):
        fitted.score(rows[:0])


def test_with_one_feature_the_structures_of_their_own_agree(rows):
    models = [
        fit(rows[:, :1], covariance_type=kind, means_init=[[20.0], [80.0]], tol=1e-9)
        for kind in ("full", "diag", "spherical")
    ]
    for model in models[1:]:
        assert_allclose(model.lower_bound_, models[0].lower_bound_, rtol=1e-13)
        assert_allclose(model.covariances_.ravel(), models[0].covariances_.ravel(), rtol=1e-11)
    tied = fit(rows[:, :1], covariance_type="tied", means_init=[[20.0], [80.0]])
    assert tied.lower_bound_ <= models[0].lower_bound_ + 1e-9


def test_more_products_than_32_bits_can_count(rng):
    # 3.3e9 products of rows, components and features; and a row of number 2**33
    centres = rng.normal(scale=9.0, size=(64, 32))
    row = np.broadcast_to(centres[17], (2**20 + 2**19, 32))
    model = GaussianMixture.from_parameters(
        np.full(64, 1 / 64), centres, np.ones(64), covariance_type="spherical"
    )
    expected = -16 * np.log(2 * np.pi) - np.log(64)
    assert model.score(row) == pytest.approx(expected, rel=1e-12)
    assert open_source(row).place(2**33) == f"row {2**33} of the array"


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_covariances_larger_than_memory_are_refused_with_their_bytes(rng, covariance_type):
    wide = rng.normal(size=(4, 500_000))
    with pytest.raises(MemoryError, match=r"needs about [\d,]{17,} bytes and .* available"):
        fit(wide, covariance_type=covariance_type)


def test_another_width_is_refused_everywhere(rows, fitted):
    for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
        with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
            getattr(fitted, method)(rows[:, :2])


def test_features_in_another_order_are_refused(rows):
    frame = pandas.DataFrame(rows, columns=list("xyz"))
    model = fit(frame)
    for data in (frame[["z", "x", "y"]], pyarrow.Table.from_pandas(frame[["z", "x", "y"]])):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(data)


def test_rows_that_change_during_a_fit_crash_nothing(rng):
    rows = rng.normal(size=(20_000, 4))
    done = threading.Event()

    def meddle():
        while not done.is_set():
            rows[rng.integers(20_000, size=50)] *= -1.0

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        model = fit(rows, tol=0.0, max_iter=30)
    except SourceChangedError:
        return  # seen: as good an end
    except Warning:  # not converged, of course
        return
    finally:
        done.set()
        meddler.join(60)
    assert np.isfinite(model.means_).all()
