"""BayesianGaussianMixture beside scikit-learn's: a pass, the way to one held-out score, memory.

    python -m bench.tables.bayesian [--no-memory]

Both libraries run in turn in one process, from starts of the same kind. Processor seconds of a pass
are those of a fit with five passes more, over five, by the medians of seven turns, of
`GaussianMixture` in the same way: run it with one thread for both libraries. Then scikit-learn
fits with its own `tol` and `max_iter`, from k-means, and ours takes as many passes, from k-means,
as it needs to describe other rows as well, by the same plain mixture of expected weights, means and
covariances; and so do the two `GaussianMixture`.
"""

from __future__ import annotations

import argparse
import ctypes
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture as Theirs
from sklearn.mixture import GaussianMixture as TheirLikeliest

from bench.tables.image_patches import resident
from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn, timed
from fastgmm import BayesianGaussianMixture, GaussianMixture

FEW, MORE, TURNS = 1, 6, 7  # passes of the two fits, and how often they are made
MOST = 1000  # passes of ours
NEAR = 1e-4  # nats a row, by which another score is the same
LASTING = 0.1  # seconds that fits are made over and over for, at least
START = "random_from_data"  # which costs nothing


class Case(NamedTuple):
    """Rows, and what is fitted to them."""

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str = "full"

    def __str__(self) -> str:
        """Write it as the tables do."""
        size = f"{self.n_rows:,}×{self.n_features}".replace(",", " ")
        return f"{self.covariance_type}, {size}, K={self.n_components}"


CASES = (
    Case(100_000, 10, 10),
    Case(20_000, 2, 5),
    Case(200_000, 20, 8),
    Case(100_000, 10, 10, "diag"),
)
LARGE = Case(1_000_000, 10, 20)


def seconds_of_a_pass(
    kinds: tuple[Callable[..., Any], ...], rows: np.ndarray, case: Case
) -> np.ndarray:
    """Return the processor seconds of a pass of each kind."""

    def fit(kind: Callable[..., Any], max_iter: int) -> None:
        kind(
            n_components=case.n_components,
            covariance_type=case.covariance_type,
            init_params=START,
            tol=0.0,
            max_iter=max_iter,
            random_state=0,
        ).fit(rows)

    fits = [partial(fit, kind, max_iter) for kind in kinds for max_iter in (FEW, MORE)]
    for each in fits:
        each()  # compiles
    counts = [1 + int(LASTING / timed(each)[0]) for each in fits]
    often = [partial(repeat, *each) for each in zip(fits, counts, strict=True)]
    took = np.median(in_turn(*often, turns=TURNS).processors, axis=0) / counts
    return (took[1::2] - took[::2]) / (MORE - FEW)


def repeat(function: Callable[[], object], count: int) -> None:
    """Call a function so many times."""
    for _ in range(count):
        function()


def score(model: Any, rows: np.ndarray) -> float:
    """Return the mean log density of rows in the mixture of a posterior's expected parameters."""
    parts = model.weights_, model.means_, model.covariances_
    return GaussianMixture.from_parameters(*parts, covariance_type=model.covariance_type).score(
        rows
    )


class Way(NamedTuple):
    """How both libraries come to the held-out score at which scikit-learn stops."""

    their_passes: int
    their_seconds: float
    passes: int | None  # of ours; None if twice as many as lead to its end do not lead there
    seconds: float | None
    passes_to_end: int
    seconds_to_end: float
    above: float  # what our end scores more

    @property
    def times(self) -> float | None:
        """How many times the seconds of ours theirs are."""
        return None if self.seconds is None else self.their_seconds / self.seconds


def way(
    kinds: tuple[Callable[..., Any], Callable[..., Any]],
    case: Case,
    rows: np.ndarray,
    others: np.ndarray,
) -> Way:
    """Fit by scikit-learn's class and by ours, and by ours again with fewer passes."""
    settings = {
        "n_components": case.n_components,
        "covariance_type": case.covariance_type,
        "init_params": "kmeans",
        "random_state": 0,
    }
    their_kind, kind = kinds
    took, theirs = timed(their_kind(**settings).fit, rows)
    wanted = score(theirs, others)
    ended, ours = timed(kind(**settings).fit, rows)
    passes = seconds = None
    n_passes = 1
    while n_passes <= min(MOST, 2 * ours.n_iter_):
        needed, model = timed(kind(max_iter=n_passes, **settings).fit, rows)
        if score(model, others) >= wanted - NEAR:
            passes, seconds = n_passes, needed
            break
        n_passes += max(1, n_passes // 4)
    above = score(ours, others) - wanted
    return Way(theirs.n_iter_, took, passes, seconds, ours.n_iter_, ended, above)


def memory(case: Case) -> None:
    """Print the megabytes above the rows that a fit with default arguments takes at its peak."""
    rows = data.rows(data.mixture(case.n_features, case.n_components), case.n_rows)
    settings = {"n_components": case.n_components, "random_state": 0}
    BayesianGaussianMixture(max_iter=20, **settings).fit(rows[:2000])  # compiles
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free must not be taken for the fit's
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    took, model = timed(BayesianGaussianMixture(**settings).fit, rows)
    status = Path("/proc/self/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    above = (1024 * peak - before) / 1e6
    print(f"{case}: {took:.1f} s, {model.n_iter_} passes, {above:.0f} MB above the rows\n")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-memory", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not arguments.no_memory:
        memory(LARGE)  # first: scikit-learn leaves memory that a fit of ours would take again
    drawn = {}
    kinds = Theirs, BayesianGaussianMixture, TheirLikeliest, GaussianMixture
    plain = tuple(
        partial(kind, acceleration=None) if kind.__module__.startswith("fastgmm") else kind
        for kind in kinds
    )
    table = Table(
        {
            "a pass": "",
            "scikit-learn, ms": ".1f",
            "its GaussianMixture": ".1f",
            "fastgmm, ms": ".3f",
            "our GaussianMixture": ".3f",
            "times": ".1f",
            "GaussianMixture, times": ".1f",
            "of these": ".2f",
        }
    )
    for case in CASES:
        mixture = data.mixture(case.n_features, case.n_components)
        drawn[case] = data.rows(mixture, case.n_rows), data.rows(mixture, 20_000, seed=1)
        took = 1e3 * seconds_of_a_pass(plain, drawn[case][0], case)
        times = took[0] / took[1], took[2] / took[3]
        table.row(str(case), took[0], took[2], took[1], took[3], *times, times[0] / times[1])
    print()
    table = Table(
        {
            "to scikit-learn's held-out score": "",
            "its passes": "d",
            "s": ".2f",
            "our passes": "d",
            "our s": ".3f",
            "times": ".1f",
            "GaussianMixture, times": ".1f",
            "of these": ".2f",
            "our passes to the end": "d",
            "our s to the end": ".2f",
            "score above": "+.4f",
        }
    )
    for case, (rows, others) in drawn.items():
        found = way((Theirs, BayesianGaussianMixture), case, rows, others)
        beside = way((TheirLikeliest, GaussianMixture), case, rows, others)
        of_these = found.times / beside.times if found.times and beside.times else None
        table.row(str(case), *found[:4], found.times, beside.times, of_these, *found[4:])


if __name__ == "__main__":
    main()
