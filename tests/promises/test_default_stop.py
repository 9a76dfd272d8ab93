"""The default call climbs until a small cluster is found, and stops where nothing is left."""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score

import fastgmm
from fastgmm import AutoGaussianMixture, DegenerateComponentWarning, GaussianMixture
from fastgmm.cli import fit, select
from fastgmm.cli.options import spread

STOP = ("tol", "stopping", "max_iter")


def pair(seed, n_rows=5050, n_features=8, ratio=100, apart=4.0):
    """Two round clusters of sizes 100:1, four deviations apart."""
    rng = np.random.default_rng([11, seed])
    labels = (np.arange(n_rows) % (ratio + 1) == 0).astype(int)
    centres = np.zeros((2, n_features))
    centres[1] = apart / np.sqrt(n_features)
    return centres[labels] + rng.normal(size=(n_rows, n_features)), labels


def agreement(seed, **settings):
    rows, labels = pair(seed)
    model = GaussianMixture(2, prior=None, random_state=seed, **settings).fit(rows)
    assert model.converged_
    return adjusted_rand_score(labels, model.predict(rows))


@pytest.mark.parametrize("seed", range(8))
def test_a_cluster_a_hundredth_of_its_neighbour_is_found_by_the_default_call(seed):
    at_the_limit = agreement(seed, tol=1e-9, max_iter=3000)
    assert at_the_limit > 0.5
    assert agreement(seed) >= at_the_limit - 0.02


def test_with_scikit_learn_s_tol_it_is_not():
    lost = sum(agreement(seed, tol=1e-3) < agreement(seed) - 0.02 for seed in range(8))
    assert lost >= 4


@pytest.mark.parametrize("n_components", [2, 3])
def test_in_single_precision_a_fit_ends_where_rounding_is_all_that_is_left(n_components):
    far = np.random.default_rng(0).normal(40.0, 1.0, size=(60, 30))
    for rows in (load_wine().data, far):
        model = GaussianMixture(n_components, random_state=0, reg_covar=1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateComponentWarning)
            model.fit(rows.astype(np.float32))
        assert model.converged_
        assert model.n_iter_ < 200


def stop_of(function):
    """Return what a function stops by if it is not told."""
    arguments = inspect.signature(function).parameters
    return {name: arguments[name].default for name in STOP}


def test_the_command_line_and_the_functions_stop_where_the_classes_do():
    assert stop_of(spread(fit.fit)) == stop_of(GaussianMixture)
    assert stop_of(spread(select.select)) == stop_of(AutoGaussianMixture) == stop_of(fastgmm.select)


@pytest.mark.parametrize("kind", [GaussianMixture, AutoGaussianMixture])
def test_the_defaults_are_what_the_documentation_says(kind):
    for name, value in stop_of(kind).items():
        said = re.search(rf"^    {name} : .*default=(.+)$", kind.__doc__, re.MULTILINE)[1]
        assert str(value) == said.strip('"') or value == float(said)
