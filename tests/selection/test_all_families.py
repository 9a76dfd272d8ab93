"""Searches over all fourteen families: `covariance_type="all"`."""

from __future__ import annotations

import numpy as np
import pytest
from cli.commands import run
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris

import fastgmm
from fastgmm import AutoGaussianMixture, BayesianGaussianMixture, GaussianMixture
from fastgmm.covariance import ALL, family

NAMES = [each.name for each in ALL]
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::fastgmm.DegenerateComponentWarning"
)


@pytest.fixture(scope="module")
def rows():
    return load_iris().data


@pytest.fixture(scope="module")
def found(rows):
    return fastgmm.select(rows, [1, 2, 3], "all", random_state=0, prior=None, reg_covar=1e-12)


def column(found, name, count):
    chosen = found.table["n_components"] == count
    return dict(zip(found.table["covariance_type"][chosen], found.table[name][chosen], strict=True))


def test_all_means_fourteen_in_the_order_of_mclust(found):
    assert list(found.table["covariance_type"]) == [name for name in NAMES for _ in range(3)]
    parameters = [family(name).n_parameters(k, 4) for name in NAMES for k in (1, 2, 3)]
    assert found.table["n_parameters"].tolist() == parameters
    bic = -2.0 * found.table["log_likelihood"] + np.log(150) * found.table["n_parameters"]
    assert_allclose(found.table["bic"], bic, rtol=1e-12)


def test_what_mclust_is_known_to_choose_for_iris_is_chosen(found):
    """Scrucca, Fop, Murphy and Raftery (2016): VEV with 2 components, their BIC -561.7285."""
    best = found.best_estimator_
    assert (best.covariance_type, best.n_components) == ("VEV", 2)
    assert found.table["bic"].min() == pytest.approx(561.7285, abs=2e-2)


def test_of_one_component_only_kinds_of_axes_differ(found):
    values = column(found, "log_likelihood", 1)
    assert values["EII"] == values["VII"]
    assert len({values[name] for name in ("EEI", "VEI", "EVI", "VVI")}) == 1
    full = [name for name in NAMES if name[2] != "I"]
    assert_allclose([values[name] for name in full], values["VVV"], rtol=1e-12)


def test_one_line_each_is_drawn(found):
    pytest.importorskip("matplotlib")
    ax = found.plot()
    labels = [text.get_text().partition(",")[0] for text in ax.get_legend().get_texts()]
    assert labels == NAMES
    drawn = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    looks = {(line.get_linestyle(), line.get_marker()) for line in drawn}
    assert len(looks) == len(drawn) == 14


def test_rows_may_be_held_out_and_the_rest_of_criteria_used(rows):
    types = ["EII", "VEI", "VEE", "EVE", "VVV"]
    held_out = fastgmm.select(rows, [2], types, "held-out", random_state=0)
    assert np.isfinite(held_out.table["held_out"]).all()
    icl = fastgmm.select(rows, [2], "all", "icl", random_state=0)
    assert np.all(icl.table["icl"] >= icl.table["bic"])


def test_types_are_called_as_they_were_given(rows):
    model = AutoGaussianMixture([2], covariance_type=["VVV", "tied", "full"], random_state=0)
    model.fit(rows)
    assert list(model.selection_.table["covariance_type"]) == ["VVV", "tied"]  # each once
    assert model.covariance_type_ == model.best_estimator_.covariance_type == "VVV"
    assert model.get_params()["covariance_type"] == ["VVV", "tied", "full"]


def test_letters_and_words_make_the_same_mixture(rows):
    for word, letters in [("full", "VVV"), ("tied-diagonal", "EEI"), ("diag", "VVI")]:
        ours = GaussianMixture(3, covariance_type=letters, random_state=0).fit(rows)
        same = GaussianMixture(3, covariance_type=word, random_state=0).fit(rows)
        assert ours.covariance_type == letters
        assert ours.covariances_.tobytes() == same.covariances_.tobytes()
        assert ours.bic(rows) == same.bic(rows)


def test_families_without_a_conjugate_prior_are_refused_with_those_that_have(rows):
    with pytest.raises(ValueError, match=r"'VEE', which has no conjugate prior; .*'full'"):
        BayesianGaussianMixture(n_components=2, covariance_type="VEE").fit(rows)
    with pytest.raises(ValueError, match=r"evidence.*has no conjugate prior; .*'full'"):
        fastgmm.select(rows, [2], "all", "evidence")
    for name in ("EEI", "EII"):
        found = BayesianGaussianMixture(n_components=4, covariance_type=name, random_state=0)
        covariances = found.fit(rows).covariances_
        assert_allclose(covariances, np.broadcast_to(covariances[0], covariances.shape))
        assert found.prune().covariance_type == name
    letters = BayesianGaussianMixture(n_components=2, covariance_type="VVV", random_state=0).fit(
        rows
    )
    word = BayesianGaussianMixture(n_components=2, covariance_type="full", random_state=0).fit(rows)
    assert letters.covariances_.tobytes() == word.covariances_.tobytes()


def test_the_command_line_shows_all_within_a_terminal(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    shown = run("select", tmp_path / "rows.npy", "-k", "1,2", "--covariance", "all").output
    for name in NAMES:
        assert f" {name}" in shown
    assert max(map(len, shown.splitlines())) <= 80
