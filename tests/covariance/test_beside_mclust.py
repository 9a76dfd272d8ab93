"""M-steps and EM from the same labels as mclust, whose numbers are in `mclust.json`.

They were computed by R: `mstep(modelName, data, unmap(labels))`, the log-likelihood after it, and
that to which `me` climbs from there. Rows are iris, or follow from a formula (`quasi_random`).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from covariance.quasi_random import clusters
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris

from fastgmm import em, passes
from fastgmm.covariance import ALL, family
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.passes.subsample import Sample
from fastgmm.sources import open_source

NUMBERS = json.loads((Path(__file__).parent / "mclust.json").read_text())["sets"]
# Its VEE stops where a sum changes by little, and its EVE by few rounds; its VVE is no maximum
CLOSED = [each.name for each in ALL if each.name not in ("VEE", "EVE", "VVE")]


@pytest.fixture(scope="module", params=NUMBERS)
def case(request):
    """Rows, labels, and numbers by family."""
    rows, labels = load_iris(return_X_y=True) if request.param == "iris" else clusters()
    return rows, labels, NUMBERS[request.param]


def first_step(rows, labels, rule):
    weights, nowhere = np.full(len(rows), 1.0 / len(rows)), np.zeros(rows.shape[1])
    its = [labels == k for k in range(labels.max() + 1)]
    members = [Members(rows[each], weights[each], nowhere) for each in its]
    return maximise(Sample(rows, weights, nowhere), members, rule)


def climbed(rows, start, rule):
    def data_pass(candidates):
        return passes.statistics(open_source(rows), candidates)

    (state,) = em.run([em.State(rule, start)], data_pass, em.Stopping(1e-13, 2000))
    assert np.all(np.diff(state.trace) > -1e-13 * abs(state.trace[-1]))
    return state.trace[0] * len(rows), state.trace[-1] * len(rows)


@pytest.mark.parametrize("name", [each.name for each in ALL])
def test_a_first_step_and_the_end_of_em_are_mclust_s(case, name):
    rows, labels, numbers = case
    rule, theirs = em.Maximisation(family(name), 0.0), numbers[name]
    start = first_step(rows, labels, rule)
    expected = np.reshape(theirs["covariances"], start.matrices.shape)
    first, end = climbed(rows, start, rule)
    if name == "VVE":  # its first step is no maximum, and its EM ends lower
        assert first > theirs["first"] + 0.1
        assert end > theirs["end"] + 0.1
        return
    rtol = 1e-10 if name in CLOSED else 1e-6
    assert_allclose(start.matrices, expected, rtol=0, atol=rtol * np.abs(expected).max())
    assert first == pytest.approx(theirs["first"], rel=1e-10 if name in CLOSED else 1e-8)
    assert end == pytest.approx(theirs["end"], abs=1e-7)  # of passes that gain 1e-13 a row
