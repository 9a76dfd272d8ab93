"""Default fits of rows with many features, beside scikit-learn's: seconds, and rows held out.

``python -m bench.tables.wide`` prints a Markdown table: seconds of our default fit and of
scikit-learn's in turn, with all cores; their ratio; passes; the mean log-likelihood of as many rows
held out, ours above the better of scikit-learn's with one start and with ten; the strength of our
prior. ``--types diag tied`` takes other covariance types, ``--only onehot`` some sets. Where a fit
of scikit-learn's takes longer than ``--patience`` seconds, it is not made with ten starts.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture as Theirs

from bench.tables.right_starts import concentric, mixed, oblong, strewn
from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture

BELOW = 0.01  # nats per row
SLOW = 2.0  # times scikit-learn's seconds
KINDS = ("full", "tied", "diag", "spherical")


class Case(NamedTuple):
    """A set of rows, and a number of components."""

    draw: Callable[[int, int, int, np.random.Generator], np.ndarray]
    n_rows: int
    n_features: int
    n_components: int

    def __str__(self) -> str:
        name = getattr(self.draw, "__name__", None) or self.draw.args[0].__name__
        return f"{name.replace('_', ' ')} {self.n_rows}×{self.n_features}, K = {self.n_components}"


def rows_of(draw, n_rows: int, n_features: int, n_components: int, rng: np.random.Generator):
    """Return the rows of a draw of `right_starts`."""
    return draw(n_rows, n_features, n_components, rng).rows


def blobs(n_rows: int, n_features: int, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Round clusters whose means are as far apart in each feature as rows of one cluster."""
    means = rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    return means[labels] + rng.standard_normal((n_rows, n_features))


def in_few(n_rows: int, n_features: int, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Clusters that differ in five features."""
    rows = rng.standard_normal((n_rows, n_features))
    centres = 4.0 * rng.standard_normal((n_components, 5))
    rows[:, :5] += centres[rng.integers(n_components, size=n_rows)]
    return rows


def units(n_rows: int, n_features: int, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Blobs in units that differ by up to six powers of ten."""
    scale = 10.0 ** rng.uniform(-3.0, 3.0, n_features)
    return blobs(n_rows, n_features, n_components, rng) * scale


def factors(
    n_rows: int, n_features: int, n_components: int, rng: np.random.Generator
) -> np.ndarray:
    """Clusters long in five directions, each in its own."""
    loadings = rng.standard_normal((n_components, 5, n_features))
    means = rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    rows = means[labels] + 0.5 * rng.standard_normal((n_rows, n_features))
    hidden = rng.standard_normal((n_rows, 5))
    for k in range(n_components):
        rows[labels == k] += hidden[labels == k] @ loadings[k]
    return rows


def heavy_tails(
    n_rows: int, n_features: int, n_components: int, rng: np.random.Generator
) -> np.ndarray:
    """Blobs of Student's distribution with four degrees of freedom."""
    means = rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    return means[labels] + rng.standard_t(4.0, (n_rows, n_features))


def uneven(n_rows: int, n_features: int, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Clusters of any size, whose deviations differ by feature and cluster."""
    shape = n_components, n_features
    means, deviations = rng.standard_normal(shape), np.exp(0.5 * rng.standard_normal(shape))
    shares = rng.dirichlet(np.full(n_components, 2.0))
    labels = rng.choice(n_components, n_rows, p=shares)
    return means[labels] + deviations[labels] * rng.standard_normal((n_rows, n_features))


def noise(n_rows: int, n_features: int, _n_components: int, rng: np.random.Generator) -> np.ndarray:
    """No clusters."""
    return rng.standard_normal((n_rows, n_features))


def onehot(n_rows: int, n_features: int, _n_components: int, rng: np.random.Generator):
    """Four columns of categories, one-hot, and one of numbers."""
    n_each = (n_features - 1) // 4
    codes = rng.integers(n_each, size=(n_rows, 4))
    columns = [np.eye(n_each)[codes[:, j]] for j in range(4)]
    return np.concatenate([*columns, rng.standard_normal((n_rows, 1))], axis=1)


CASES = [
    Case(blobs, 500, 30, 3),
    Case(blobs, 2000, 100, 5),
    Case(blobs, 2000, 300, 5),
    Case(blobs, 5000, 500, 5),
    Case(blobs, 500, 900, 4),
    Case(blobs, 10_000, 80, 10),
    Case(blobs, 20_000, 100, 20),
    Case(blobs, 200_000, 30, 20),
    Case(blobs, 20_000, 10, 100),
    Case(partial(rows_of, mixed), 10_000, 16, 30),
    Case(partial(rows_of, mixed), 10_000, 24, 20),
    Case(partial(rows_of, mixed), 2000, 60, 5),
    Case(partial(rows_of, oblong), 3000, 60, 3),
    Case(partial(rows_of, strewn), 3000, 60, 5),
    Case(partial(rows_of, concentric), 4000, 50, 3),
    Case(in_few, 3000, 80, 5),
    Case(units, 3000, 80, 5),
    Case(factors, 3000, 80, 5),
    Case(uneven, 1000, 100, 12),
    Case(uneven, 2000, 100, 20),
    Case(uneven, 5000, 100, 30),
    Case(uneven, 20_000, 30, 20),
    Case(uneven, 20_000, 100, 100),
    Case(heavy_tails, 3000, 80, 5),
    Case(noise, 3000, 80, 5),
    Case(noise, 1000, 200, 4),
    Case(onehot, 1000, 401, 5),
    Case(onehot, 1200, 1201, 5),
]


class Result(NamedTuple):
    """Of one case and covariance type."""

    seconds: float
    their_seconds: float
    n_passes: int
    their_passes: int
    above: float
    strength: float

    @property
    def ratio(self) -> float:
        """Our seconds over scikit-learn's."""
        return self.seconds / self.their_seconds


def fitted(case: Case, kind: str, turns: int, patience: float) -> Result:
    """Fit one half of the rows in turn, and score the other."""
    rng = np.random.default_rng(case.n_features)
    rows = rng.permutation(case.draw(2 * case.n_rows, *case[2:], rng))
    training, others = rows[: case.n_rows], rows[case.n_rows :]
    settings = {"n_components": case.n_components, "covariance_type": kind, "random_state": 0}
    GaussianMixture(**settings, max_iter=3).fit(training)  # compiles
    best = [np.inf, np.inf]
    for _ in range(turns):
        ours, theirs = GaussianMixture(**settings), Theirs(**settings)
        for place, model in enumerate((ours, theirs)):
            best[place] = min(best[place], timed(model.fit, training)[0])
    known = [theirs.score(others)]
    if best[1] < patience:
        known.append(Theirs(**settings, n_init=10).fit(training).score(others))
    above = ours.score(others) - max(known)
    return Result(*best, ours.n_iter_, theirs.n_iter_, above, ours.prior_strength_)


def main() -> None:
    """Print the table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", nargs="+", choices=KINDS, default=["full"])
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--patience", type=float, default=3.0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = {"data": "", "type": "", "s": ".3f", "scikit-learn, s": ".3f", "ratio": ".2f"}
    passes = {"passes": "d", "scikit-learn's": "d"}
    table = Table(columns | passes | {"held out, above": "+.3f", "prior_strength_": "g"})
    found = []
    for kind in asked.types:
        for case in CASES:
            if asked.only in str(case):
                each = fitted(case, kind, asked.turns, asked.patience)
                found.append(each)
                table.row(str(case), kind, *each[:2], each.ratio, *each[2:])
    ratios = [each.ratio for each in found]
    n_slow, n_below = sum(r > SLOW for r in ratios), sum(each.above < -BELOW for each in found)
    print(
        f"\n{len(found)} fits: {np.median(ratios):.2f} of scikit-learn's seconds in the median, "
        f"{max(ratios):.2f} at most; above {SLOW:g} in {n_slow}; below by more than {BELOW} nats "
        f"per row of held-out rows in {n_below}"
    )


if __name__ == "__main__":
    main()
