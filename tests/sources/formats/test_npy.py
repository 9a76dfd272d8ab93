import pickle
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import blocks, open_source

ROWS = np.abs(some_rows())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "points.npy"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", ">f4", "f2", "i4", "?"])
@pytest.mark.parametrize("chunk_rows", [None, 1, 5])
def test_a_file_gives_its_rows_in_either_order(path, order, dtype, chunk_rows):
    rows = ROWS.astype(dtype, order=order)
    np.save(path, rows)
    source = open_source(path, chunk_rows=chunk_rows)
    assert source.n_rows == 23
    assert source.feature_names is None
    assert source.dtype == (np.float32 if dtype in ("f4", ">f4") else np.float64)
    assert_array_equal(rows_of(path, chunk_rows=chunk_rows), rows)


@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_and_weights_are_chosen_by_number(path, order):
    np.save(path, np.asarray(ROWS, order=order))
    rows, weights = walk(open_source(str(path), [2, 0], -2))
    assert_array_equal(rows, ROWS[:, [2, 0]])
    assert_array_equal(weights, ROWS[:, 1])


def test_a_header_of_version_2_is_read(path):
    with path.open("wb") as file:
        np.lib.format.write_array(file, ROWS, version=(2, 0))
    assert_array_equal(rows_of(path), ROWS)


def test_a_number_that_is_not_finite_is_named_in_every_pass(path):
    rows = ROWS.copy()
    rows[17, 2] = np.nan
    np.save(path, rows)
    source = open_source(path, [2])
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"row 17 of points.npy holds no value .NaN or null. in column 2"
        ):
            walk(source)


@pytest.mark.parametrize("row", range(23))
def test_the_row_is_named_wherever_a_read_or_a_block_ends(path, row):
    rows = ROWS.copy()
    rows[row, 1] = np.inf
    np.save(path, rows)
    with pytest.raises(DataError, match=rf"row {row} of points.npy holds infinity in column 1"):
        list(blocks(open_source(path, chunk_rows=3), 7))


def test_rows_are_read_into_blocks_of_any_length_by_reads_of_any_length(path):
    np.save(path, ROWS)
    for chunk_rows in (1, 3, 7, 100):
        for block_rows in (1, 5, 23, 24):
            found = [
                (block.start, block.rows.copy())
                for block in blocks(open_source(path, chunk_rows=chunk_rows), block_rows)
            ]
            assert [start for start, _ in found] == list(range(0, 23, block_rows))
            assert_array_equal(np.concatenate([rows for _, rows in found]), ROWS)


def test_finite_numbers_whose_sum_is_not_are_taken(path):
    rows = np.full((30, 2), np.finfo(np.float64).max)
    np.save(path, rows)
    assert_array_equal(rows_of(path), rows)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones(3), r"Reshape your data"),
        (np.ones((2, 2, 2)), r"Reshape your data"),
        (np.ones((4, 0)), r"0 feature\(s\)"),
        (np.ones((2, 2), complex), "Complex data not supported"),
        (np.zeros((2, 2), "M8[s]"), "holds dates or times"),
        (np.array([["a", "b"]]), "points.npy holds <U1; save it as an array of numbers"),
        (np.array([[1, 2]], object), "points.npy holds object; save it as"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(path, array, said):
    np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError, match=said):
        open_source(path)


def test_a_file_of_no_rows_holds_none(path):
    np.save(path, ROWS[:0])
    with pytest.raises(DataError, match=r"points.npy holds no rows"):
        open_source(path).fold(len, max, 4)


@pytest.mark.parametrize("length", [0, 3, 50, 128, 400, -1])
def test_a_file_cut_short_is_refused(path, length):
    np.save(path, ROWS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"points.npy is cut short|cannot read points.npy"):
        open_source(path)


def headed(path, shape="(2, 2)", descr="'<f8'", fortran=False, version=b"\1\0", text=None):
    """Write a header, whatever it says, and room for 16 numbers."""
    if text is None:
        text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    path.write_bytes(b"\x93NUMPY" + version + length + header + np.arange(16.0).tobytes())
    return path


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("(-1, 2)", r"is damaged: its header tells of the shape \(-1, 2\), and sizes are whole"),
        ("(2, -1)", r"is damaged: its header tells of the shape \(2, -1\)"),
        ("(-2, -2)", r"is damaged: its header tells of the shape \(-2, -2\)"),
        ("(-4,)", r"is damaged: its header tells of the shape \(-4,\)"),
        ("(True, 2)", r"is damaged: its header tells of the shape \(True, 2\)"),
        ("(2.0, 2)", "header is damaged .shape is not valid"),
        ("('2', 2)", "header is damaged .shape is not valid"),
        ("[2, 2]", "header is damaged .shape is not valid"),
        ("(2**3, 2)", "header is damaged .malformed node"),
        ("(4294967296, 4294967296)", "is cut short: its header tells of 14757395258967641"),
        (f"({2**63}, 2)", "is cut short: its header tells of 14757395258967641"),
        (f"(1, {10**24})", "is cut short"),
        (f"(0, {10**14})", "holds no rows, and of 100000000000000 columns; it is damaged"),
    ],
)
def test_a_shape_that_is_nonsense_is_refused(path, shape, said, fortran):
    with pytest.raises(DataError, match=f"points.npy.* ?{said}") as caught:
        open_source(headed(path, shape, fortran=fortran))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"descr": "'<f8x'"}, "header is damaged .descr is not a valid dtype"),
        ({"descr": "'|O'"}, "holds object; save it"),
        ({"descr": "('<f8', (2,))"}, "save it as an array of numbers"),
        ({"descr": "{'names': ['a'], 'formats': ['<f8']}"}, "header is damaged"),
        ({"fortran": "'no'"}, "header is damaged .fortran_order is not"),
        ({"text": ""}, "header is damaged .Cannot parse"),
        ({"text": "("}, "header is damaged .*EOF in multi-line"),
        ({"text": "(" * 5000}, "header is damaged"),
        ({"text": "[2, 2]"}, "header is damaged .Header is not a dictionary"),
        ({"text": "{'descr': '<f8', 'shape': (2, 2)}" + " " * 30_000}, "header is damaged .Header"),
        ({"version": b"\4\0"}, "its format version, 4.0, is not known"),
        ({"version": b"\1\1"}, "its format version, 1.1, is not known"),
    ],
)
def test_a_header_that_is_nonsense_is_refused(path, given, said):
    with pytest.raises(DataError, match=said) as caught:
        open_source(headed(path, **given))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_a_header_that_makes_sense_is_read(path, version):
    assert_array_equal(
        rows_of(headed(path, "(8, 2)", version=version)), np.arange(16.0).reshape(8, 2)
    )
    columns = np.arange(16.0).reshape(2, 8).T
    assert_array_equal(rows_of(headed(path, "(8, 2)", fortran=True, version=version)), columns)


def test_a_foreign_file_is_refused(path):
    path.write_text("a,b\n1,2\n" * 30)
    with pytest.raises(DataError, match=r"cannot read points.npy: the magic string"):
        open_source(path)


def test_a_file_that_is_cut_or_replaced_between_passes_is_an_error(path):
    np.save(path, ROWS)
    source = open_source(path)
    walk(source)
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        walk(source)


def test_a_file_cut_while_it_is_read_is_an_error(path):
    np.save(path, ROWS)
    chunks = open_source(path, chunk_rows=5).chunks()
    next(chunks)
    with path.open("r+b") as file:
        file.truncate(300)
    with pytest.raises(SourceChangedError, match="had 680 bytes and has 300"):
        list(chunks)


def test_sources_of_paths_can_be_pickled(path):
    np.save(path, ROWS)
    assert_array_equal(walk(pickle.loads(pickle.dumps(open_source(path))))[0], ROWS)
