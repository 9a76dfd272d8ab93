"""Model files and pickles, broken by every means (84-92), and fuzzed."""

from __future__ import annotations

import ast
import copy
import inspect
import io
import json
import os
import pickle
import string
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.errors import ModelFileError
from fastgmm.estimators import pickling
from fastgmm.storage import archive as model_archive

FAST = settings(max_examples=150)


@pytest.fixture(scope="module")
def model():
    return GaussianMixture.from_parameters([0.25, 0.75], [[0.0, 1.0], [2.0, 3.0]], [np.eye(2)] * 2)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    model.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("broken") / "model.npz"


def load(path, content):
    path.write_bytes(content)
    return fastgmm.load(path)


def same(found, model):
    return all(
        np.array_equal(getattr(found, name), getattr(model, name))
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_")
    )


def test_no_model_comes_of_a_file_that_is_cut_short(path, written):
    for length in range(0, len(written), 7):
        with pytest.raises(ModelFileError):
            load(path, written[:length])


def test_a_flipped_bit_is_refused_or_changes_nothing(path, written, model):
    refused = 0
    for position in range(len(written)):
        flipped = bytearray(written)
        flipped[position] ^= 1 << (position % 8)
        try:
            assert same(load(path, flipped), model)
        except ModelFileError:
            refused += 1
    assert refused > 0.7 * len(written)  # the rest are dates and attributes of the zip


@FAST
@given(cuts=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 60), st.binary(max_size=60))))
def test_bytes_cut_and_pasted_never_make_another_model(path, written, model, cuts):
    content = bytearray(written)
    for start, length, pasted in cuts:
        content[start : start + length] = pasted
    with suppress(ModelFileError):
        assert same(load(path, content), model)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(string.ascii_lowercase, max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["class", "settings", "history", "feature_names", "fastgmm", "arrays", "format_version", "new"]
)
SETTINGS = st.sampled_from(["tol", "n_components", "covariance_type", "random_state", "means_init"])


@FAST
@given(field=FIELDS, setting=SETTINGS, value=VALUES, inside=st.booleans())
def test_headers_of_any_values_are_refused_or_mean_what_they_say(
    path, written, field, setting, value, inside
):
    header = headers(written)
    if inside:
        header["settings"][setting] = value
    else:
        header[field] = value
    with suppress(ModelFileError):
        found = load(path, sealed(written, header))
        # what was let through must be a model that works
        assert np.isfinite(found.score([[0.0, 1.0]]))
        assert found.predict_proba([[0.0, 1.0]]).shape == (1, 2)


@FAST
@given(
    shape=st.lists(st.integers(-(2**65), 2**65) | st.integers(0, 3), max_size=4),
    name=st.sampled_from(["means_", "weights_", "covariances_"]),
)
def test_shapes_are_held_against_the_file_before_memory_is_taken(path, written, shape, name):
    header = headers(written)
    true = header["arrays"][name]["shape"]
    header["arrays"][name]["shape"] = shape
    if shape != true:
        with pytest.raises(ModelFileError):
            load(path, sealed(written, header))


def headers(written):
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        return json.loads(archive.read("header.json"))


def sealed(written, header):
    """The same zip with another header, under a checksum that is right."""
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = {
        name.removesuffix(".npy"): np.load(io.BytesIO(content))
        for name, content in members.items()
        if name.endswith(".npy")
    }
    header = {name: value for name, value in header.items() if name != "checksum"}
    try:
        header["checksum"] = model_archive._checksum(header, arrays)
    except ValueError:  # a number that JSON does not have
        header["checksum"] = ""
    members["header.json"] = json.dumps(header).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


class Bomb:
    """What a malicious pickle does: more than it says."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_ever_unpickled(path, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = io.BytesIO()
    np.savez(archive, means_=np.array([Bomb()], dtype=object))
    for content in (pickle.dumps(Bomb()), archive.getvalue()):
        with pytest.raises(ModelFileError):
            load(path, content)
    assert not os.path.exists("exploded")
    tree = ast.parse(inspect.getsource(model_archive))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not imported & {"pickle", "marshal", "shelve", "joblib"}


def test_a_model_that_cannot_be_written_leaves_what_was_there(model, written, tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(written)
    with pytest.raises(OSError, match="nowhere"):
        model.save(tmp_path / "nowhere" / "model.npz")
    with pytest.raises(OSError, match=r"model.npz"):
        model.save(path / "inside.npz")
    assert path.read_bytes() == written
    assert [each.name for each in tmp_path.iterdir()] == ["model.npz"]


def test_the_bytes_of_a_file_depend_on_nothing_but_the_model(model, written, tmp_path):
    again = copy.deepcopy(model)
    again.means_ = again.means_.astype(">f8")
    again.save(tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == written


@pytest.mark.parametrize("version", ["0.0.1", None])
def test_a_pickle_of_another_version_is_read_with_a_warning(model, monkeypatch, version):
    with monkeypatch.context() as context:
        if version is None:
            context.setattr(pickling, "stamped", dict)
        else:
            context.setattr(pickling, "__version__", version)
        pickled = pickle.dumps(model)
    with pytest.warns(pickling.VersionWarning, match=r"fastgmm.load\(path\)") as caught:
        found = pickle.loads(pickled)
    assert (version or "of unknown version") in str(caught[0].message)
    assert_array_equal(found.means_, model.means_)
    assert vars(pickle.loads(pickle.dumps(model))).keys() == vars(model).keys()
