"""A search that was ended anywhere goes on from its checkpoint, and ends with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from stops import disturbed

from fastgmm import AutoGaussianMixture, GaussianMixture, select
from fastgmm.errors import CheckpointError, CheckpointWarning
from fastgmm.selection import sweep
from fastgmm.storage import archive

SETTINGS = {
    "n_components": (1, 2, 3),
    "covariance_type": ("full", "diag"),
    "tol": 0.0,
    "max_iter": 12,
    "random_state": 0,
}


pytestmark = pytest.mark.filterwarnings(
    "ignore:.* components of covariance type .* did not converge"
)


@pytest.fixture
def rows(rng):
    return rng.normal(size=(400, 2)) + 3.0 * rng.integers(3, size=(400, 1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def assert_same(found, expected):
    for name, column in expected.table.items():
        assert_array_equal(found.table[name], column, name)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        one, other = (getattr(each.best_estimator_, name) for each in (found, expected))
        assert_array_equal(one, other, name)


def test_a_search_that_is_ended_again_and_again_ends_with_the_same_bits(rows, path, monkeypatch):
    expected = select(rows, **SETTINGS)
    ended = 0
    while disturbed(lambda: select(rows, **SETTINGS, checkpoint=path), 5, monkeypatch):
        ended += 1
        assert ended < 20
    assert ended > 1

    def again():
        assert_same(select(rows, **SETTINGS, checkpoint=path), expected)

    assert not disturbed(again, 1, monkeypatch)  # no pass of EM at all


@pytest.mark.slow
def test_a_contest_goes_on_where_it_was(path, monkeypatch):
    """Candidates that were stopped stay so."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 2))
    rows[:1000, 0] += 2.5
    settings = {"n_components": range(1, 5), "covariance_type": "full", "random_state": 0}
    settings["tol"] = 1e-6
    expected = select(rows, **settings)
    assert not expected.table["converged"].all()
    ended = 0
    while disturbed(lambda: select(rows, **settings, checkpoint=path), 3, monkeypatch):
        ended += 1
        assert ended < 100
    assert ended > 1
    assert_same(select(rows, **settings, checkpoint=path), expected)


def test_starts_are_not_grown_again(rows, path, monkeypatch):
    assert disturbed(lambda: select(rows, **SETTINGS, checkpoint=path), 1, monkeypatch)
    header, _ = archive.read(path)
    assert [each["outcome"] for each in header["states"]] == ["running"] * 6
    monkeypatch.setattr(sweep, "starts_of", pytest.fail)
    found = select(rows, **SETTINGS, checkpoint=path)
    assert found.best_estimator_.n_components == 3


def test_candidates_that_are_mended_are_kept_too(rows, path, monkeypatch):
    # EM stops once nothing moves, and leaves passes to those that are mended
    settings = SETTINGS | {"n_components": (2, 3), "covariance_type": "full", "tol": 1e-3}
    starts = sweep.starts_of

    def poor(*arguments):
        """Leave three components where all of them are one, so that they are below two."""
        begun = starts(*arguments)
        (_, two), (key, three) = begun.items()
        means = np.repeat(two.parameters.means.mean(axis=0, keepdims=True), 3, axis=0)
        wide = np.repeat(np.cov(rows.T)[None], 3, axis=0)
        one = type(two.parameters).from_covariances("full", np.full(3, 1 / 3), means, wide)
        return begun | {key: sweep.replace(three, parameters=one)}

    monkeypatch.setattr(sweep, "starts_of", poor)
    expected = select(rows, **settings)
    repairing = []
    for _ in range(20):
        if not disturbed(lambda: select(rows, **settings, checkpoint=path), 2, monkeypatch):
            break
        repairing.append(archive.read(path)[0]["n_repairing"])
    assert repairing[0] == 0
    assert repairing[-1] == 1
    assert_same(select(rows, **settings, checkpoint=path), expected)


def test_starts_that_failed_have_failed_after_it_as_well(path, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(4, 1))
    settings = SETTINGS | {"n_components": (1, 2, 6), "covariance_type": "spherical"}
    expected = select(rows, **settings)
    assert disturbed(lambda: select(rows, **settings, checkpoint=path), 1, monkeypatch)
    assert archive.read(path)[0]["failures"]["2"]["message"].startswith("6 components are")
    assert_same(select(rows, **settings, checkpoint=path), expected)


def test_other_arguments_are_refused_by_name(rows, path, monkeypatch):
    assert disturbed(lambda: select(rows, **SETTINGS, checkpoint=path), 1, monkeypatch)
    for settings, said in (
        ({"n_components": (1, 2)}, "n_components was 1, 2, 3 and is 1, 2"),
        ({"covariance_type": "tied"}, "covariance_type was full, diag and is tied"),
        ({"criterion": "icl"}, "criterion was bic and is icl"),
        ({"tol": 0.5}, "tol was 0 and is 0.5"),
    ):
        with pytest.raises(CheckpointError, match=f"another fit: {said}.*delete.*afresh"):
            select(rows, **SETTINGS | settings, checkpoint=path)


def test_other_rows_and_fits_are_refused(rows, path, monkeypatch):
    assert disturbed(lambda: select(rows, **SETTINGS, checkpoint=path), 1, monkeypatch)
    with pytest.raises(CheckpointError, match="the number of rows was 400 and is 399"):
        select(rows[1:], **SETTINGS, checkpoint=path)
    with pytest.raises(CheckpointError, match="the checksum of the first rows"):
        select(rows[::-1], **SETTINGS, checkpoint=path)
    with pytest.raises(CheckpointError, match="n_components was 1, 2, 3 and is 3"):
        GaussianMixture(3, random_state=0).fit(rows, checkpoint=path)
    fitted = path.with_name("fit.ckpt")
    GaussianMixture(3, random_state=0).fit(rows, checkpoint=fitted)
    one = AutoGaussianMixture(3, covariance_type="full", random_state=0)
    with pytest.raises(CheckpointError, match=r"another fit: .*the start was of its own"):
        one.fit(rows, checkpoint=fitted)


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_used(rows, path, monkeypatch):
    expected = select(rows, **SETTINGS)
    assert disturbed(lambda: select(rows, **SETTINGS, checkpoint=path), 5, monkeypatch)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(CheckpointWarning, match=r"truncated.*goes on from.*previous"):
        found = select(rows, **SETTINGS, checkpoint=path)
    assert_same(found, expected)
