"""A model file is read as it was written, or refused."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import struct
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.errors import ModelFileError
from fastgmm.storage import archive as model_archive

HEADER = {"class": "GaussianMixture", "n_components": 2, "tol": 1e-3, "names": ["größe", "y"]}
ARRAYS = {
    "weights": np.array([0.25, 0.75]),
    "means": np.array([[1.0, 2.0], [-3.0, np.pi]], dtype=np.float32),
    "rows": np.arange(6).reshape(3, 2).T,  # not C-contiguous
    "trace": np.zeros((0, 3)),
    "bound": np.float64(-np.inf),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def written(path):
    model_archive.write(path, HEADER, ARRAYS)
    return path.read_bytes()


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert sorted(found[1]) == sorted(expected[1])
    for name, array in expected[1].items():
        assert_array_equal(found[1][name], array, strict=True)


def repacked(written, changes=None, *, compression=zipfile.ZIP_STORED, header=None):
    """The same zip with members changed (None: left out) or its header's fields changed."""
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= changes or {}
    if header is not None:
        members["header.json"] = json.dumps(json.loads(members["header.json"]) | header).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return out.getvalue()


def sealed(written, header):
    """The same file with fields of its header changed and a checksum that fits them."""
    changed = repacked(written, header=header)
    with zipfile.ZipFile(io.BytesIO(changed)) as archive:
        full = json.loads(archive.read("header.json"))
    del full["checksum"]
    checksum = model_archive._checksum(full, {n: np.asarray(ARRAYS[n], order="C") for n in ARRAYS})
    return repacked(changed, header={"checksum": checksum})


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        model_archive.read(path)
    message = str(caught.value)
    assert message.startswith(repr(str(path)))
    return message


# What is written


def test_a_file_is_read_as_it_was_written(path, written):
    header, arrays = model_archive.read(path)
    assert_same((header, arrays), (HEADER, {n: np.asarray(a) for n, a in ARRAYS.items()}))
    assert all(array.flags.writeable for array in arrays.values())


def test_the_same_content_gives_the_same_bytes(path, written):
    header, arrays = model_archive.read(path)
    model_archive.write(path, dict(reversed(header.items())), dict(reversed(arrays.items())))
    assert path.read_bytes() == written


def test_numpy_opens_the_file_too(path, written):
    with np.load(path, allow_pickle=False) as opened:
        for name, array in ARRAYS.items():
            assert_array_equal(opened[name], array, strict=True)


def test_big_endian_arrays_are_written_little_endian(path, written):
    big = {
        name: np.asarray(a).astype(np.asarray(a).dtype.newbyteorder(">"))
        for name, a in ARRAYS.items()
    }
    model_archive.write(path, HEADER, big)
    assert path.read_bytes() == written


def test_arrays_past_the_limit_of_plain_zips_are_read_back(path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    arrays = {"long": np.arange(1000.0), "next": np.arange(1000)}
    model_archive.write(path, {}, arrays)
    assert b"\x01\x00\x10\x00" in path.read_bytes()  # the zip64 field of a member
    assert_same(model_archive.read(path), ({}, arrays))


@pytest.mark.parametrize("dtype", [object, complex, bool, "U3", "M8[s]", np.longdouble])
def test_what_is_no_plain_number_is_not_written(path, dtype):
    with pytest.raises(TypeError, match="'x' has dtype"):
        model_archive.write(path, {}, {"x": np.zeros(2, dtype=dtype)})
    assert not path.exists()


@pytest.mark.parametrize("name", ["../x", "a b", "", "größe", "header.json"])
def test_a_name_that_is_no_identifier_is_not_written(path, name):
    with pytest.raises(ValueError, match="must be an ASCII identifier"):
        model_archive.write(path, {}, {name: np.zeros(2)})


@pytest.mark.parametrize("name", ["format", "format_version", "arrays", "checksum"])
def test_reserved_names_of_the_header_are_not_overwritten(path, name):
    with pytest.raises(ValueError, match=name):
        model_archive.write(path, {name: 1}, {})


def test_a_header_that_is_not_json_is_not_written(path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        model_archive.write(path, {"bound": float("inf")}, {})
    assert not path.exists()


# What is refused


def test_every_truncation_is_refused(path, written):
    for length in range(len(written)):
        refusal(path, written[:length])


def test_every_flipped_byte_is_refused_or_changes_nothing(path):
    arrays = {"weights": np.array([0.25, 0.75]), "none": np.zeros((0, 2))}
    model_archive.write(path, {"k": 2}, arrays)
    written = path.read_bytes()
    refused = 0
    for position, byte in enumerate(written):
        for pattern in (0x01, 0x80, 0xFF):
            flipped = bytearray(written)
            flipped[position] = byte ^ pattern
            path.write_bytes(flipped)
            try:
                found = model_archive.read(path)
            except ModelFileError:
                refused += 1
            else:
                assert_same(found, ({"k": 2}, arrays))
    assert refused > 2 * len(written)  # the others are dates and attributes of the zip


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"PK\x05\x06" + bytes(18), b"a,b\n1,2\n" * 100, bytes(range(256)) * 9]
)
def test_other_files_are_refused(path, content):
    refusal(path, content)


def test_an_archive_of_numpy_is_refused(path):
    np.savez(path, x=np.arange(3))
    assert "no header.json" in refusal(path, path.read_bytes())


def test_a_pickle_is_refused_unread(path):
    bomb = b"cos\nsystem\n(S'false'\ntR."
    refusal(path, bomb)
    model_archive.write(path, {}, {"x": np.zeros(2)})
    described = {"x": {"dtype": "|O", "shape": [2]}}
    changed = repacked(path.read_bytes(), {"x.npy": bomb}, header={"arrays": described})
    assert "does not describe array 'x'" in refusal(path, changed)


def test_another_value_under_the_old_checksum_is_refused(path, written):
    assert "checksum" in refusal(path, repacked(written, header={"n_components": 3}))
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        weights = archive.read("weights.npy")
    changed = weights[:-8] + struct.pack("<d", 0.5)
    assert "checksum" in refusal(path, repacked(written, {"weights.npy": changed}))


def test_a_newer_format_is_refused_with_the_way_out(path, written):
    message = refusal(path, sealed(written, {"format_version": 2}))
    assert "format version 2" in message
    assert "upgrade fastgmm" in message


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", None, True])
def test_a_version_that_is_no_version_is_refused(path, written, version):
    assert "format version" in refusal(path, sealed(written, {"format_version": version}))


def test_the_header_of_another_program_is_refused(path, written):
    assert "another's" in refusal(path, sealed(written, {"format": "others"}))
    assert "another's" in refusal(path, repacked(written, {"header.json": b"[1, 2]"}))


@pytest.mark.parametrize("text", [b'{"k": NaN}', b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_header_that_cannot_be_parsed_is_refused(path, written, text):
    refusal(path, repacked(written, {"header.json": text}))


@pytest.mark.parametrize("text", ["1e999", '"\\ud800"'])
def test_a_header_that_could_not_have_been_written_is_refused(path, written, text):
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        header = archive.read("header.json").decode()
    changed = header.replace("{", '{"k": ' + text + ", ", 1).encode()
    assert "altered" in refusal(path, repacked(written, {"header.json": changed}))


@pytest.mark.parametrize("field", ["checksum", "arrays", "format_version"])
def test_a_missing_field_is_refused(path, written, field):
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        header = json.loads(archive.read("header.json"))
    del header[field]
    changed = repacked(written, {"header.json": json.dumps(header).encode()})
    assert field.replace("_", " ") in refusal(path, changed).replace("_", " ")


def test_missing_and_unknown_arrays_are_refused(path, written):
    assert "weights.npy" in refusal(path, repacked(written, {"weights.npy": None}))
    assert "more.npy" in refusal(path, repacked(written, {"more.npy": b""}))
    assert "../x" in refusal(path, repacked(written, {"../x": b""}))


def test_a_member_twice_is_refused(path, written):
    path.write_bytes(written)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("weights.npy", b"")
    assert "twice" in refusal(path, path.read_bytes())


def test_compressed_members_are_refused(path, written):
    changed = repacked(written, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path, changed)


def test_members_that_claim_more_than_the_file_are_refused_unread(path, written):
    central = written.rindex(b"PK\x01\x02")  # the last member's entry: its two sizes are at 20
    claim = struct.pack("<II", 2**31, 2**31)
    assert "more than its size" in refusal(
        path, written[: central + 20] + claim + written[central + 28 :]
    )


@pytest.mark.parametrize(
    "shape", [[10**12], [10**12, 0], [-2], [2, 1.0], [True, 2], ["2"], [3], [], "2", None, [1] * 70]
)
def test_a_shape_that_does_not_fit_is_refused_unread(path, written, shape):
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        described = json.loads(archive.read("header.json"))["arrays"]
    described["weights"]["shape"] = shape
    assert "weights" in refusal(path, sealed(written, {"arrays": described}))


@pytest.mark.parametrize("dtype", [">f8", "<f16", "O", "|V8", "<M8[s]", 8])
def test_a_dtype_that_is_not_written_is_not_read(path, written, dtype):
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        described = json.loads(archive.read("header.json"))["arrays"]
    described["weights"]["dtype"] = dtype
    assert "weights" in refusal(path, sealed(written, {"arrays": described}))


# The file itself


def test_a_missing_file_is_said_to_be_missing(path):
    with pytest.raises(FileNotFoundError, match="no model file of this name") as caught:
        model_archive.read(path)
    assert caught.value.filename == str(path)


def test_a_folder_is_neither_read_nor_replaced(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        model_archive.read(tmp_path)
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(IsADirectoryError) as caught:
        model_archive.write(tmp_path, {}, {})
    assert caught.value.filename == str(tmp_path)


def test_a_pipe_is_neither_read_nor_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ModelFileError, match="not a regular file"):
        model_archive.read(pipe)
    with pytest.raises(OSError, match="Not a regular file"):
        model_archive.write(pipe, {}, {})
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "model.npz"
    with pytest.raises(FileNotFoundError) as caught:
        model_archive.write(path, {}, {})
    assert caught.value.filename == str(path)


def test_a_file_in_the_place_of_a_folder_is_named(path, written):
    with pytest.raises(NotADirectoryError) as caught:
        model_archive.write(path / "model.npz", {}, {})
    assert caught.value.filename == str(path / "model.npz")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(path, written, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left") as caught:
        model_archive.write(path, {}, {"x": np.zeros(9)})
    assert caught.value.filename == str(path)
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupt_leaves_the_old_file(path, written, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(model_archive, "_write_zip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model_archive.write(path, {}, {})
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == [path.name]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path, path, written):
    link = tmp_path / "latest.npz"
    link.symlink_to(path)
    model_archive.write(link, {"k": 1}, {})
    assert not link.is_symlink()
    assert path.read_bytes() == written
    assert model_archive.read(link) == ({"k": 1}, {})


def test_permissions_are_those_of_the_file_replaced_or_of_any_new_file(path):
    umask = os.umask(0o027)
    try:
        model_archive.write(path, {}, {})
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        model_archive.write(path, {}, {})
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


def test_an_interrupt_while_a_member_is_opened_is_that_interrupt(tmp_path, monkeypatch):
    def opened_and_interrupted(self, *arguments, open_=zipfile.ZipFile.open, **words):
        self.member = open_(self, *arguments, **words)
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "open", opened_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        model_archive.write(tmp_path / "model", {"a": 1}, {"b": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []
