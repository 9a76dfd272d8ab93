"""A mixture and axes to draw it on, without a screen."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from fastgmm.estimators.gaussian_mixture import GaussianMixture

WEIGHTS = [0.5, 0.3, 0.2]
MEANS = np.array([[0.0, 0.0, 5.0], [4.0, 1.0, 5.0], [-3.0, 6.0, 5.0]])
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.2, 2.0]])
FULL = np.array([scale * ROOT @ ROOT.T for scale in (1.0, 2.0, 0.5)])
COVARIANCES = {
    "full": FULL,
    "tied": FULL[0],
    "diag": np.array([np.diag(covariance) for covariance in FULL]),
    "spherical": np.array([1.0, 2.0, 0.5]),
}


@pytest.fixture(autouse=True)
def _closed_figures(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("show was called"))
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


@pytest.fixture
def mixture():
    """A function that makes a mixture of three components and features."""
    return _mixture


@pytest.fixture
def model():
    return _mixture()


@pytest.fixture
def rows():
    """Rows that the model describes."""
    return _mixture().sample(2000)[0]


@pytest.fixture
def legend():
    """A function that reads the legend of axes."""
    return lambda ax: [text.get_text() for text in ax.get_legend().get_texts()]


def _mixture(covariance_type="full"):
    return GaussianMixture.from_parameters(
        WEIGHTS, MEANS, COVARIANCES[covariance_type], covariance_type=covariance_type
    ).set_params(random_state=0)
