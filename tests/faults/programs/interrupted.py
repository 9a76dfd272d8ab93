"""Fit, score and save for ever, a stage at a time; each ends when the parent sends SIGINT.

Before a stage its name is printed, and "entered" once the work has begun: from inside the function
that does it. "felt" says that the interrupt has arrived, "as before" that the object has not
changed and that a fit gives what it gave.
"""

import contextlib
import signal
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import fastgmm
from fastgmm import GaussianMixture, em, passes
from fastgmm.estimators import starting_states
from fastgmm.passes.model import Model

warnings.simplefilter("ignore", ConvergenceWarning)  # none of these is to converge

rng = np.random.default_rng(0)
small = rng.normal(size=(300, 3)) + 8 * rng.integers(2, size=(300, 1))


@contextlib.contextmanager
def announced(holder, name):
    """Tell the parent when a function is called for the first time."""
    function = getattr(holder, name)
    told = []

    def wrapped(*arguments, **keywords):
        if not told:
            told.append(print("entered", flush=True))
        return function(*arguments, **keywords)

    with mock.patch.object(holder, name, wrapped):
        yield


def compilation(model):
    """The first fit of an empty cache: tens of seconds of LLVM, in pieces."""
    with announced(Model, "sums"):
        model.set_params(covariance_type="tied").fit(small)


def start(model):
    """Sample, k-means, short runs of EM, a hundred times."""
    rows = rng.normal(size=(400_000, 16))
    with announced(starting_states, "start_from"):
        model.set_params(n_components=30, n_init=100, init_params="auto").fit(rows)


def kernel(model):
    """Passes over many rows; a single call of compiled code takes a quarter of a second."""
    rows = rng.normal(size=(300_000, 32))
    with announced(passes, "statistics"):
        model.set_params(n_components=40).fit(rows)


def step(model):
    """M-steps of 400 features, which take longer than their passes."""
    rows = rng.normal(size=(3_000, 400))
    with announced(em.Maximisation, "estimate"):
        model.set_params(n_components=8).fit(rows)


def chunks(model):
    """A source that takes its time."""
    never = threading.Event()

    def read():
        yield small
        with announced(never, "wait"):
            never.wait(60)

    model.fit(fastgmm.open_source(read))


def scores(model):
    """Scores of many rows, again and again."""
    rows = rng.normal(size=(300_000, 16))
    big = GaussianMixture.from_parameters(
        np.full(40, 1 / 40), rng.normal(size=(40, 16)), [np.eye(16)] * 40
    )
    with announced(passes, "log_likelihoods"):
        while True:
            big.score_samples(rows)


def files(model):
    """One file written again and again: it is there, whole, and nothing else is."""
    big = GaussianMixture.from_parameters([1.0], rng.normal(size=(1, 500)), [np.eye(500)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        big.save(path)
        try:
            with announced(fastgmm.estimators.model_file, "save"):
                while True:
                    big.save(path)
        finally:
            np.testing.assert_array_equal(fastgmm.load(path).means_, big.means_)
            assert [each.name for each in Path(folder).iterdir()] == [path.name]


def fresh():
    return GaussianMixture(2, tol=0.0, max_iter=2, init_params="random_from_data", random_state=0)


def by_hand():
    """A model of two components as if fitted, for which nothing was compiled."""
    return GaussianMixture.from_parameters([0.5, 0.5], np.eye(2, 3), [np.eye(3)] * 2)


def compile_all():
    """Compile what the stages call: an interrupt within a compiler's callback, Python drops."""
    rows = rng.normal(size=(20_000, 16)) + 8 * rng.integers(2, size=(20_000, 1))
    model = GaussianMixture(40, init_params="auto", max_iter=2, tol=0.0, random_state=0).fit(rows)
    for score in ("predict", "predict_proba", "score_samples"):
        getattr(model, score)(rows)
    GaussianMixture(2, max_iter=2, tol=0.0, random_state=0).fit(rows)


def interrupt(stage):
    """Run a stage until the parent interrupts it, and look at what it leaves."""
    model = by_hand()
    model.set_params(**fresh().get_params()).set_params(max_iter=10**6)
    before = dict(vars(model))
    print(stage.__name__, flush=True)
    try:
        stage(model)
    except KeyboardInterrupt:
        print("felt", flush=True)
    # the fitted attributes are the very objects that they were
    assert all(vars(model)[name] is before[name] for name in before if name.endswith("_"))
    if stage is not compilation:
        np.testing.assert_array_equal(fresh().fit(small).means_, expected.means_)
        np.testing.assert_array_equal(model.predict(small), by_hand().predict(small))
    print("as before", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    names = sys.argv[1:]
    if "compilation" not in names:
        compile_all()
        expected = fresh().fit(small)
    for name in names:
        interrupt(globals()[name])
    if "compilation" in names:
        fresh().set_params(covariance_type="tied").fit(small)
