"""HDF5 datasets and Zarr arrays: the same rows, whole stored chunks at a time."""

import gc

import h5py
import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, MissingDependencyError, SourceChangedError
from fastgmm.sources import blocks, open_source
from fastgmm.sources.formats.chunked import StoredSource

ROWS = some_rows(40)
KINDS = ["hdf5", "zarr 2", "zarr 3"]


def written(folder, kind, arrays):
    """A file or store that holds these arrays, by path."""
    if kind == "hdf5":
        path = folder / "x.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, chunks=(min(7, len(array)), *array.shape[1:]))
        return path
    path = folder / "x.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=int(kind[-1]))
    for name, array in arrays.items():
        chunks = (7, *array.shape[1:])
        root.create_array(name.strip("/"), data=array, chunks=chunks)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", "i4"])
def test_the_only_table_is_read(tmp_path, kind, dtype):
    rows = ROWS.astype(dtype)
    path = written(tmp_path, kind, {"/sub/points": rows, "/labels": np.arange(40)})
    source = open_source(path)
    assert (source.name, source.n_rows) == (path.name, 40)
    assert source.dtype == (np.float32 if dtype == "f4" else np.float64)
    assert_array_equal(rows_of(path), rows)
    assert_array_equal(rows_of(str(path), chunk_rows=3, dataset="sub/points"), rows)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_and_weights_are_chosen_by_number(tmp_path, kind):
    path = written(tmp_path, kind, {"points": np.abs(ROWS)})
    rows, weights = walk(open_source(path, [2, 0], 1))
    assert_array_equal(rows, np.abs(ROWS[:, [2, 0]]))
    assert_array_equal(weights, np.abs(ROWS[:, 1]))


@pytest.mark.parametrize("kind", KINDS)
def test_where_several_could_be_the_rows_they_are_listed(tmp_path, kind):
    path = written(tmp_path, kind, {"/a": ROWS, "/b/c": ROWS[:5, :2].astype("f4")})
    said = r"2 datasets .* dataset='/a'\): '/a' \(40, 3\) float64, '/b/c' \(5, 2\) float32"
    with pytest.raises(DataError, match=said):
        open_source(path)
    assert open_source(path, dataset="/b/c").n_rows == 5
    with pytest.raises(DataError, match=r"has no dataset 'd'; it has '/a' \(40, 3\) float64"):
        open_source(path, dataset="d")


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_table_is_refused(tmp_path, kind):
    path = written(tmp_path, kind, {"/a": np.arange(3)})
    with pytest.raises(DataError, match=r"no 2-d dataset of numbers; it has '/a' \(3,\) int64"):
        open_source(path)
    with pytest.raises(DataError, match="1 dimension"):
        open_source(path, dataset="a")


@pytest.mark.parametrize("kind", KINDS)
def test_open_datasets_are_read_by_slices_and_never_whole(tmp_path, kind, monkeypatch):
    path = written(tmp_path, kind, {"points": ROWS})
    library, name = (h5py, "Dataset") if kind == "hdf5" else (zarr, "Array")

    def refuse(*_, **__):
        raise AssertionError("read whole")

    monkeypatch.setattr(getattr(library, name), "__array__", refuse)
    opened = h5py.File(path) if kind == "hdf5" else zarr.open_group(path, mode="r")
    assert_array_equal(rows_of(opened["points"]), ROWS)
    model = GaussianMixture(2, random_state=0).fit(opened["points"])
    assert_array_equal(model.means_, GaussianMixture(2, random_state=0).fit(ROWS).means_)
    assert model.predict(opened["points"]).shape == (40,)
    if kind == "hdf5":
        opened.close()


@pytest.mark.parametrize("kind", KINDS)
def test_reads_follow_the_stored_chunks(tmp_path, kind, monkeypatch):
    path = written(tmp_path, kind, {"points": ROWS})
    monkeypatch.setattr("fastgmm.sources.formats.chunked.rows_per_chunk", lambda width: 20)
    assert [len(chunk.rows) for chunk in open_source(path).chunks()] == [14, 14, 12]
    monkeypatch.setattr("fastgmm.sources.formats.chunked.rows_per_chunk", lambda width: 2)
    assert [len(chunk.rows) for chunk in open_source(path).chunks()][:2] == [7, 7]


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_changes_between_passes_is_noticed(tmp_path, kind):
    source = open_source(written(tmp_path, kind, {"points": ROWS}))
    walk(source)
    written(tmp_path, kind, {"points": ROWS + 1.0})
    with pytest.raises(SourceChangedError, match=r"changed since|gave other numbers"):
        walk(source)
    written(tmp_path, kind, {"points": ROWS[:, :2]})
    with pytest.raises(SourceChangedError, match=r"changed since|was \(40, 3\) .* is \(40, 2\)"):
        walk(source)


def test_an_open_dataset_that_changes_between_passes_is_noticed(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        points = file.create_dataset("points", data=ROWS)
        source = open_source(points)
        walk(source)
        points[3, 1] += 1.0
        with pytest.raises(SourceChangedError, match="the dataset /points gave other numbers"):
            walk(source)


def test_numbers_that_are_not_finite_are_named(tmp_path):
    rows = np.where(ROWS[33, 1] == ROWS, np.nan, ROWS)
    path = written(tmp_path, "hdf5", {"points": rows})
    with pytest.raises(DataError, match=r"row 33 of x.h5 holds no value .NaN or null. in column 1"):
        walk(open_source(path))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_or_gone_is_named(tmp_path, kind):
    path = written(tmp_path, kind, {"points": ROWS})
    source = open_source(path)
    if kind == "hdf5":
        path.unlink()
        with pytest.raises(SourceChangedError, match=r"x.h5 is gone"):
            walk(source)
        path.write_bytes(b"no HDF5")
    else:
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(SourceChangedError, match=r"x.zarr is gone"):
            walk(source)
        path.mkdir()
    with pytest.raises(DataError, match=r"cannot read x"):
        open_source(path)
    with pytest.raises(FileNotFoundError, match="there is no"):
        open_source(tmp_path / f"nothing{path.suffix}")


def test_compound_and_complex_datasets_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["c"] = ROWS.astype(complex)
        file["t"] = np.zeros((4, 2), [("a", "f8")])
    with pytest.raises(DataError, match="Complex data not supported"):
        open_source(tmp_path / "x.h5", dataset="c")
    with pytest.raises(DataError, match="holds records"):
        open_source(tmp_path / "x.h5", dataset="t")


def test_a_pass_that_ends_early_closes_the_file(tmp_path):
    path = written(tmp_path, "hdf5", {"points": ROWS})
    found = blocks(open_source(path, chunk_rows=7), 4)
    next(found)
    found.close()
    gc.collect()
    with h5py.File(path, "r+") as file:  # refused while it is open elsewhere
        file["points"][0, 0] = 1.0


@pytest.mark.parametrize(("module", "name"), [("h5py", "x.h5"), ("zarr", "x.zarr")])
def test_a_missing_library_is_named_with_its_extra(tmp_path, module, name, monkeypatch):
    path = written(tmp_path, "hdf5" if module == "h5py" else "zarr 3", {"points": ROWS})
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fastgmm\[(hdf5|zarr)\]'"):
        open_source(path)
    assert StoredSource.reads_ahead
