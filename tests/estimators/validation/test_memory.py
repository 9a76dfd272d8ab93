"""One estimate of what a fit or a search holds, asked by all that fit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastgmm import AutoGaussianMixture, GaussianMixture, StudentTMixture, select
from fastgmm.covariance import family
from fastgmm.estimators.validation import memory
from fastgmm.estimators.validation.memory import Mixture, needed
from fastgmm.sources import open_source

ROWS = np.random.default_rng(0).normal(size=(300, 20))


@pytest.fixture
def free(monkeypatch):
    """Have the system leave so many bytes, all of which are worth a look."""
    monkeypatch.setattr(memory, "ALWAYS_FITS", 0)
    return lambda count: monkeypatch.setattr(memory, "available_bytes", lambda: count)


ENTRIES = {
    "fit": lambda: GaussianMixture(20, random_state=0).fit(ROWS),
    "fit_predict": lambda: GaussianMixture(20, random_state=0).fit_predict(ROWS),
    "partial_fit": lambda: GaussianMixture(20, random_state=0).partial_fit(ROWS),
    "select": lambda: select(ROWS, [1, 20], "full", random_state=0),
    "a search": lambda: AutoGaussianMixture([1, 20], covariance_type="full").fit(ROWS),
    "chunks": lambda: select(lambda: iter([ROWS]), [1, 20], "full", random_state=0),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_refuses_what_does_not_fit_and_says_the_way_out(free, entry):
    free(200_000)
    with pytest.raises(MemoryError) as refused:
        ENTRIES[entry]()
    said = str(refused.value)
    numbers = re.search(r"needs about ([\d,]+) bytes and 200,000 are available", said)
    assert int(numbers[1].replace(",", "")) > 6 * 8 * 20 * 20 * 20
    assert "20 component(s) of 20 features" in said
    assert "take fewer components" in said
    assert "'diag'" in said


def test_factors_are_named_where_they_may_be_taken_and_need_less(free):
    free(2_000_000)
    with pytest.raises(MemoryError, match="covariance_type='factors', 'tied', 'diag' or"):
        GaussianMixture(100, random_state=0, init_params="kmeans").fit(ROWS)
    with pytest.raises(MemoryError, match="covariance_type='tied', 'diag' or"):
        StudentTMixture(100, random_state=0, init_params="kmeans").fit(ROWS)
    source, full = open_source(ROWS), Mixture(100, family("full"))
    factors = Mixture(100, family("factors", 2))
    assert needed(source, [factors], "kmeans") < needed(source, [full], "kmeans") / 3


def test_going_on_with_partial_fit_asks_too(free):
    model = GaussianMixture(2, random_state=0).fit(ROWS)
    free(10_000)
    with pytest.raises(MemoryError, match="needs about"):
        model.partial_fit(ROWS)


def test_where_only_the_candidates_of_the_default_start_do_not_fit_another_start_is_named(free):
    source = open_source(ROWS)
    mixtures = [Mixture(20, family("full"))]
    free((needed(source, mixtures, "kmeans") + needed(source, mixtures, "auto")) // 2)
    with pytest.raises(MemoryError, match=r"take init_params='kmeans'"):
        GaussianMixture(20, random_state=0).fit(ROWS)
    GaussianMixture(20, random_state=0, init_params="kmeans", max_iter=0).fit(ROWS)


def test_what_fits_is_begun(free):
    mixtures = [Mixture(count, family("diag")) for count in (1, 3)]
    free(needed(open_source(ROWS), mixtures, "merged"))
    assert select(ROWS, [1, 3], "diag", random_state=0).best_estimator_.n_components in (1, 3)


def test_a_search_begins_with_more_components_than_it_is_asked_for():
    source, asked, begun = (
        open_source(ROWS),
        Mixture(20, family("full")),
        Mixture(28, family("full")),
    )
    of_a_start = needed(source, [begun], "auto") - 2 * begun.n_bytes(20)
    assert needed(source, [asked], "merged") >= of_a_start + 2 * asked.n_bytes(20)


def test_more_components_than_rows_are_not_counted(free):
    free(needed(open_source(ROWS), [Mixture(2, family("diag"))], "merged"))
    assert select(ROWS, [2, 5000], "diag", random_state=0).best_estimator_.n_components == 2


def test_candidates_restarts_and_width_all_count():
    source, wide = open_source(ROWS), open_source(np.zeros((300, 400)))
    one = [Mixture(5, family("full"))]
    alone = needed(source, one, "given")
    assert needed(source, 10 * one, "given") > alone + 9 * 5 * 8 * 20 * 20 * 4
    assert needed(source, one, "auto") > alone
    assert needed(wide, one, "given") > 50 * alone
    many, few = [Mixture(300, family("diag"))], [Mixture(3, family("diag"))]
    long = open_source(np.zeros((50_000, 4)))
    assert needed(long, many, "auto") < needed(long, few, "auto") + 150e6  # no (K, rows) of each
