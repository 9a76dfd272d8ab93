"""The trace is that of the fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastgmm import plot
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture


def test_it_draws_the_lower_bounds(rows, ax, legend):
    model = GaussianMixture(3, random_state=0, init_params="random").fit(rows)
    assert plot.trace(model, ax) is ax
    curve, end = ax.lines
    assert_array_equal(curve.get_xdata(), np.arange(1, model.n_iter_ + 1))
    assert_array_equal(curve.get_ydata(), model.lower_bounds_)
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (model.n_iter_, model.lower_bound_)
    assert legend(ax) == [f"converged after {model.n_iter_} passes, at {model.lower_bound_:.6g}"]


def test_a_fit_that_did_not_converge_is_marked_by_a_cross(rows, ax, legend):
    with pytest.warns(ConvergenceWarning):
        model = GaussianMixture(3, random_state=0, max_iter=1).fit(rows)
    plot.trace(model, ax)
    assert ax.lines[-1].get_marker() == "X"
    assert legend(ax)[0].startswith("not converged after 1 pass,")


def test_a_model_that_was_not_fitted_has_no_trace(model, ax):
    with pytest.raises(DataError, match="no trace to draw"):
        plot.trace(model, ax)
