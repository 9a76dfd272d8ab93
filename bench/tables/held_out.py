"""How well fitted mixtures predict rows that they have not seen, beside scikit-learn's.

``python -m bench.tables.held_out`` fits one half of the rows of each set, over five seeds, and
prints a Markdown table of the mean log-likelihood per row of the other half: scikit-learn's with
one start and with ten, its Bayesian mixture, ours by maximum likelihood and ours by default; by how
much ours is above the better of the first two; the rows that the prior counts as, by seed; and,
where the truth is known, the least variance of a component of ours (rows whitened) over that of the
truth. A component below 1e-4 of it is spurious.

``--types diag`` takes another covariance type, ``--only iris`` some sets, and ``--quick`` every
fourth set and one seed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigvalsh
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as Theirs

from bench.tools.table import Table
from fastgmm import GaussianMixture

SEEDS = 5
BELOW = 0.01  # nats per row
SPURIOUS = 1e-4  # of the least true variance
KINDS = ("full", "tied", "diag", "spherical")


class Drawn(NamedTuple):
    """Rows, and the covariance of each true cluster where it is known."""

    rows: np.ndarray
    covariances: Sequence[np.ndarray] = ()


class Case(NamedTuple):
    """A set, by the seed of its draw, and a number of components."""

    name: str
    draw: Callable[[np.random.Generator], Drawn]
    n_components: int


def standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def real(load: Callable[..., Any], n_features: int | None, rng: np.random.Generator) -> Drawn:
    """Return the first features of a set that scikit-learn ships."""
    return Drawn(standardised(load(return_X_y=True)[0][:, :n_features]))


def digits(n_axes: int, rng: np.random.Generator) -> Drawn:
    rows = datasets.load_digits(return_X_y=True)[0]
    return Drawn(standardised(PCA(n_axes, random_state=0).fit_transform(rows)))


def pixels(rng: np.random.Generator) -> Drawn:
    """Four pixels of digits: of 17 values each, so many rows are equal in some features."""
    return Drawn(datasets.load_digits(return_X_y=True)[0][:, [20, 28, 36, 43]] / 16.0)


def blobs(n_rows: int, rng: np.random.Generator) -> Drawn:
    """The rows of the well-known article, whichever the seed."""
    rows, _ = datasets.make_blobs(n_rows, centers=4, cluster_std=0.60, random_state=0)
    return Drawn(standardised(rows), [np.diag(0.36 / rows.var(axis=0))])


def sheared_blobs(rng: np.random.Generator) -> Drawn:
    rows, _ = datasets.make_blobs(500, random_state=170)
    shear = np.array([[0.6, -0.6], [-0.4, 0.8]])
    return Drawn(rows @ shear, [shear.T @ shear])


def moons(rng: np.random.Generator) -> Drawn:
    rows, _ = datasets.make_moons(400, noise=0.08, random_state=int(rng.integers(2**31)))
    return Drawn(standardised(rows))


def circles(rng: np.random.Generator) -> Drawn:
    seed = int(rng.integers(2**31))
    return Drawn(datasets.make_circles(500, factor=0.5, noise=0.05, random_state=seed)[0])


def noise(n_rows: int, d: int, rng: np.random.Generator) -> Drawn:
    return Drawn(rng.standard_normal((n_rows, d)), [np.eye(d)])


def exponential(n_rows: int, d: int, rng: np.random.Generator) -> Drawn:
    return Drawn(rng.exponential(size=(n_rows, d)))


def small_and_tight(share: int, times: float, n_rows: int, rng: np.random.Generator) -> Drawn:
    """One row in `share` in a cluster so many times as tight."""
    rows = rng.standard_normal((n_rows, 2))
    rows[: n_rows // share] = rows[: n_rows // share] / times + [1.0, 1.0]
    return Drawn(rows, [np.eye(2), np.eye(2) / times**2])


def crossing_bars(n_rows: int, rng: np.random.Generator) -> Drawn:
    """Two bars, 100 times as long as wide."""
    scales = np.array([[10.0, 0.1], [0.1, 10.0]])
    rows = rng.standard_normal((n_rows, 2)) * scales[rng.integers(2, size=n_rows)]
    return Drawn(rows, [np.diag(each**2) for each in scales])


def heavy_tails(n_rows: int, d: int, rng: np.random.Generator) -> Drawn:
    """Three clusters of Student's distribution with three degrees of freedom."""
    centres = 5.0 * rng.standard_normal((3, d))
    rows = centres[rng.integers(3, size=n_rows)] + rng.standard_t(3, (n_rows, d))
    return Drawn(rows, [3.0 * np.eye(d)])


def overlapping(n_rows: int, d: int, n_clusters: int, rng: np.random.Generator) -> Drawn:
    """Clusters of any shape."""
    centres = 2.5 * rng.standard_normal((n_clusters, d))
    factors = rng.standard_normal((n_clusters, d, d)) / np.sqrt(d)
    labels = rng.integers(n_clusters, size=n_rows)
    steps = np.einsum("nij,nj->ni", factors[labels], rng.standard_normal((n_rows, d)))
    return Drawn(centres[labels] + steps, factors @ factors.transpose(0, 2, 1))


def rounded(n_rows: int, rng: np.random.Generator) -> Drawn:
    """Rows rounded to halves: many are equal."""
    return Drawn(np.round(2.0 * overlapping(n_rows, 3, 4, rng).rows) / 2.0)


def repeated(n_rows: int, rng: np.random.Generator) -> Drawn:
    """Every row three times, so the held-out half has many of those of the training."""
    return Drawn(np.repeat(overlapping(n_rows // 3, 2, 3, rng).rows, 3, axis=0))


def two_on_a_line(n_rows: int, rng: np.random.Generator) -> Drawn:
    is_tight = rng.random((n_rows, 1)) < 0.3
    rows = np.where(is_tight, 0.3, 2.0) * rng.standard_normal((n_rows, 1)) + 3.0 * ~is_tight
    return Drawn(rows, [np.array([[0.09]]), np.array([[4.0]])])


iris, wine = datasets.load_iris, datasets.load_wine
cancer, diabetes = datasets.load_breast_cancer, datasets.load_diabetes
CASES = [
    Case("blobs 300×2", partial(blobs, 300), 4),
    Case("blobs 300×2", partial(blobs, 300), 7),
    Case("blobs 300×2", partial(blobs, 300), 15),
    Case("sheared blobs 500×2", sheared_blobs, 3),
    Case("noise 60×1", partial(noise, 60, 1), 4),
    Case("noise 120×10", partial(noise, 120, 10), 3),
    Case("noise 300×2", partial(noise, 300, 2), 4),
    Case("noise 300×2", partial(noise, 300, 2), 8),
    Case("noise 5000×3", partial(noise, 5000, 3), 10),
    Case("noise 20 000×2", partial(noise, 20_000, 2), 10),
    Case("iris", partial(real, iris, None), 3),
    Case("iris", partial(real, iris, None), 5),
    Case("wine", partial(real, wine, None), 3),
    Case("wine", partial(real, wine, None), 5),
    Case("wine, 5 features", partial(real, wine, 5), 3),
    Case("cancer, 10 features", partial(real, cancer, 10), 3),
    Case("cancer", partial(real, cancer, None), 2),
    Case("diabetes", partial(real, diabetes, None), 4),
    Case("digits, 8 axes", partial(digits, 8), 20),
    Case("digits, 20 axes", partial(digits, 20), 10),
    Case("pixels 1797×4", pixels, 10),
    Case("rounded 600×3", partial(rounded, 600), 6),
    Case("rows three times 600×2", partial(repeated, 600), 6),
    Case("1 in 100, 60 times as tight 2000×2", partial(small_and_tight, 100, 60.0, 2000), 2),
    Case("1 in 1000, 100 times as tight 50 000×2", partial(small_and_tight, 1000, 1e2, 50_000), 2),
    Case("bars 100:1 600×2", partial(crossing_bars, 600), 2),
    Case("heavy tails 600×3", partial(heavy_tails, 600, 3), 3),
    Case("heavy tails 600×3", partial(heavy_tails, 600, 3), 8),
    Case("heavy tails 5000×5", partial(heavy_tails, 5000, 5), 6),
    Case("exponential 400×4", partial(exponential, 400, 4), 5),
    Case("exponential 3000×2", partial(exponential, 3000, 2), 8),
    Case("moons 400×2", moons, 8),
    Case("circles 500×2", circles, 10),
    Case("two on a line 200×1", partial(two_on_a_line, 200), 6),
    Case("3 overlapping 60×2", partial(overlapping, 60, 2, 3), 3),
    Case("4 overlapping 300×2", partial(overlapping, 300, 2, 4), 4),
    Case("4 overlapping 300×10", partial(overlapping, 300, 10, 4), 4),
    Case("4 overlapping 1000×5", partial(overlapping, 1000, 5, 4), 4),
    Case("4 overlapping 4000×5", partial(overlapping, 4000, 5, 4), 8),
    Case("3 overlapping 1500×30", partial(overlapping, 1500, 30, 3), 3),
    Case("4 overlapping 2000×20", partial(overlapping, 2000, 20, 4), 4),
    Case("8 overlapping 20 000×5", partial(overlapping, 20_000, 5, 8), 12),
]
FITS: list[Callable[..., Any]] = [
    Theirs,
    partial(Theirs, n_init=10),
    BayesianGaussianMixture,
    partial(GaussianMixture, prior=None),
    GaussianMixture,
]


def least_variance(covariances: Sequence[np.ndarray], rows: np.ndarray) -> float:
    """Return the least variance of any of these covariances in any direction of whitened rows."""
    total = np.atleast_2d(np.cov(rows.T))
    return float(min(eigvalsh(each, total)[0] for each in covariances))


def matrices(model: GaussianMixture, d: int) -> np.ndarray:
    """Return a covariance matrix per component, of any covariance type."""
    found, shape = model.covariances_, (model.n_components, d, d)
    if model.covariance_type in ("full", "tied"):
        return np.broadcast_to(found, shape)
    of_features = np.broadcast_to(found.reshape(model.n_components, -1), shape[:2])
    return of_features[..., None] * np.eye(d)


class Result(NamedTuple):
    """Of one seed."""

    scores: list[float]  # in the order of FITS
    strength: float
    ratio: float | None  # of least variances


def one_seed(case: Case, kind: str, seed: int) -> Result:
    """Fit one half, and score the other."""
    rng = np.random.default_rng(seed)
    drawn = case.draw(rng)
    rows = rng.permutation(drawn.rows)
    training, others = np.split(rows, [len(rows) // 2])
    settings = {"n_components": case.n_components, "covariance_type": kind, "random_state": seed}
    models = [make(**settings).fit(training) for make in FITS]
    ours, ratio = models[-1], None
    if len(drawn.covariances):
        true = least_variance(drawn.covariances, rows)
        ratio = least_variance(matrices(ours, rows.shape[1]), rows) / true
    scores = [float(np.mean(each.score_samples(others))) for each in models]
    return Result(scores, ours.prior_strength_, ratio)


def main() -> None:
    """Print the table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", nargs="+", choices=KINDS, default=["full"])
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="every fourth set, one seed")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = [each for each in CASES if arguments.only in each.name]
    cases, seeds = (cases[::4], 1) if arguments.quick else (cases, SEEDS)
    theirs = {"n_init=1": ".3f", "n_init=10": ".3f", "Bayesian": ".3f"}
    ours = {"prior=None": ".3f", "default": ".3f", "above": "+.3f"}
    more = {"prior_strength_": ">", "least variance / true": ".1e"}
    table = Table({"data": "", "type": "", "K": "d"} | theirs | ours | more)
    above, n_spurious, n_known = [], 0, 0
    for kind in arguments.types:
        for case in cases:
            found = [one_seed(case, kind, seed) for seed in range(seeds)]
            means = np.mean([each.scores for each in found], axis=0)
            above.append(means[4] - means[:2].max())
            ratios = [each.ratio for each in found if each.ratio is not None]
            n_known += len(ratios)
            n_spurious += sum(each < SPURIOUS for each in ratios)
            strengths = "/".join(f"{each.strength:g}" for each in found)
            least = min(ratios) if ratios else None
            table.row(case.name, kind, case.n_components, *means, above[-1], strengths, least)
    n_below = int(np.sum(np.array(above) < -BELOW))
    print(
        f"\n{len(above)} cases: above by {np.median(above):+.4f} in the median, {min(above):+.4f} "
        f"at least; below by more than {BELOW} in {n_below}; spurious in {n_spurious} of "
        f"{n_known} fits of known truth"
    )


if __name__ == "__main__":
    main()
