"""Scikit-learn's own tests of BayesianGaussianMixture pass when our class stands in for theirs."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import sklearn.mixture

from fastgmm.estimators import BayesianGaussianMixture

LEFT_OUT = {
    "test_compare_covar_type": (
        "calls their private first step, and asks of 'tied' the division by the number of "
        "components that makes its posterior K times too wide"
    ),
    "test_log_dirichlet_norm": "tests a private function, without the class",
    "test_log_wishart_norm": "tests a private function, without the class",
}


def their_module():
    """Import their file under another name, with our class in the place of theirs."""
    path = Path(sklearn.mixture.__file__).parent / "tests" / "test_bayesian_mixture.py"
    spec = importlib.util.spec_from_file_location("scikit_learn_bayesian_mixture_tests", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.BayesianGaussianMixture is sklearn.mixture.BayesianGaussianMixture
    module.BayesianGaussianMixture = BayesianGaussianMixture
    return module


THEIR_TESTS = {
    name: test
    for name, test in inspect.getmembers(their_module(), inspect.isfunction)
    if name.startswith("test_")
}
# pytest collects what stands in a test module: theirs stand in ours
globals().update({name: test for name, test in THEIR_TESTS.items() if name not in LEFT_OUT})


def test_what_is_left_out_is_there_to_be_left_out():
    assert set(THEIR_TESTS) >= set(LEFT_OUT)
    assert len(THEIR_TESTS) - len(LEFT_OUT) >= 11
