"""How often the default start is good: a collection of data sets, and a judge.

A run is good if its mean log-likelihood is within 0.01 nats a row of the best known, the best of
all runs on that data set, one from the truth among them. ``python -m bench.tables.right_starts
--only oblong``. Seconds are the processor's, with one thread for everybody, so that other work does
not count.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Rival
from threadpoolctl import threadpool_limits

from bench.tools import data
from bench.tools.table import Table
from fastgmm import DegenerateComponentWarning, GaussianMixture

GOOD = 0.01  # nats a row
FIT = {"tol": 1e-5, "max_iter": 500}  # so that starts are judged, not where EM stops
OTHERS = ("kmeans", "k-means++", "random_from_data")  # that may find better than any judged run


class Drawn(NamedTuple):
    """Rows, and the component each was drawn from where that is known."""

    rows: np.ndarray  # (n, d)
    labels: np.ndarray | None  # (n,)


class Problem(NamedTuple):
    """A data set by seed, and what is fitted to it."""

    name: str
    draw: Callable[[np.random.Generator], Drawn]
    n_components: int
    covariance_type: str = "full"


def turned(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn rows by a random rotation."""
    axes, _ = np.linalg.qr(rng.standard_normal((rows.shape[1], rows.shape[1])))
    return rows @ axes


def oblong(n_rows, n_features, n_components, rng, length=12.0, gap=5.0):
    """Parallel clusters, long in a few directions and apart in one that is short."""
    labels = rng.integers(n_components, size=n_rows)
    rows = rng.standard_normal((n_rows, n_features))
    rows[:, : max(1, n_features // 4)] *= length
    rows[:, -1] += gap * labels
    return Drawn(turned(rows, rng), labels)


def crossing(n_rows, n_features, n_components, rng):
    """Long clusters through nearly one point, each in its own direction."""
    labels = rng.integers(n_components, size=n_rows)
    rows = 0.5 * rng.standard_normal((n_rows, n_features))
    angles = np.pi * labels / n_components
    along = 8.0 * rng.standard_normal(n_rows)
    rows[:, 0] += along * np.cos(angles)
    rows[:, 1] += along * np.sin(angles)
    return Drawn(turned(rows, rng), labels)


def unequal(n_rows, n_features, ratio, rng, distance=7.0):
    """Draw one large cluster, and a small one beside it."""
    labels = (rng.random(n_rows) < 1.0 / (ratio + 1.0)).astype(int)
    labels[: n_features + 5] = 1
    rows = rng.standard_normal((n_rows, n_features)) * np.where(labels, 0.5, 1.0)[:, None]
    rows[:, 0] += distance * labels
    return Drawn(turned(rows, rng), labels)


def scales(n_rows, n_features, n_components, rng):
    """Features in units that differ by powers of ten."""
    labels = rng.integers(n_components, size=n_rows)
    means = 2.5 * rng.standard_normal((n_components, n_features))
    rows = rng.standard_normal((n_rows, n_features)) + means[labels]
    return Drawn(rows * 10.0 ** (np.arange(n_features) - n_features // 2), labels)


def nested(n_rows, n_features, _n_components, rng):
    """Draw a tight cluster inside a broad one."""
    labels = rng.integers(2, size=n_rows)
    rows = rng.standard_normal((n_rows, n_features)) * np.where(labels, 6.0, 0.6)[:, None]
    return Drawn(rows, labels)


def blobs(n_rows, n_features, n_components, rng, distance=8.0):
    """Round clusters; heavy overlap if the distance is small."""
    labels = rng.integers(n_components, size=n_rows)
    means = distance / np.sqrt(2.0) * rng.standard_normal((n_components, n_features))
    return Drawn(rng.standard_normal((n_rows, n_features)) + means[labels], labels)


def mixed(n_rows, n_features, n_components, rng, spread=2.5):
    """Clusters of any shape, orientation and size."""
    made_of = data.mixture(n_features, n_components, seed=int(rng.integers(2**31)))
    labels = rng.choice(n_components, size=n_rows, p=made_of.weights)
    noise = rng.standard_normal((n_rows, n_features, 1))
    factors = np.linalg.cholesky(made_of.covariances)
    return Drawn(spread * made_of.means[labels] + (factors[labels] @ noise)[:, :, 0], labels)


def real(name, _rng):
    """Rows of a well-known data set."""
    if name in ("pixels", "flower"):
        picture = "china.jpg" if name == "pixels" else "flower.jpg"
        image = datasets.load_sample_image(picture).reshape(-1, 3)
        return Drawn(image[np.random.default_rng(0).choice(len(image), 5000)].astype(float), None)
    rows, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "digits":
        rows = PCA(8, random_state=0).fit_transform(rows)
    return Drawn(rows, labels)


def strewn(n_rows, n_features, n_components, rng, length=10.0):
    """Long clusters strewn about, each turned its own way."""
    labels = rng.integers(n_components, size=n_rows)
    rows = rng.standard_normal((n_rows, n_features))
    rows[:, 0] *= length
    means = length * rng.standard_normal((n_components, n_features))
    for k in range(n_components):
        rows[labels == k] = turned(rows[labels == k], rng) + means[k]
    return Drawn(rows, labels)


def concentric(n_rows, n_features, n_components, rng):
    """Clusters of one mean that differ in shape and orientation alone."""
    labels = rng.integers(n_components, size=n_rows)
    rows = rng.standard_normal((n_rows, n_features))
    for k in range(n_components):
        axes = rng.permutation(np.geomspace(0.3, 6.0, n_features))
        rows[labels == k] = turned(rows[labels == k] * axes, rng)
    return Drawn(rows, labels)


def shrinking(n_rows, n_features, n_components, rng):
    """Clusters of halving weights, in units that differ by powers of a thousand."""
    weights = 0.5 ** np.arange(n_components)
    labels = rng.choice(n_components, size=n_rows, p=weights / weights.sum())
    means = 4.0 * rng.standard_normal((n_components, n_features))
    rows = rng.standard_normal((n_rows, n_features)) + means[labels]
    return Drawn(rows * 1e3 ** (np.arange(n_features) % 3 - 1), labels)


def crop(picture, box, n_rows, rng):
    """Pixels of a part of a picture."""
    top, bottom, left, right = box
    image = datasets.load_sample_image(picture)[top:bottom, left:right].reshape(-1, 3)
    return Drawn(image[rng.choice(len(image), n_rows, replace=False)].astype(float), None)


def projected(name, n_features, _rng):
    """Principal components of a well-known data set, standardised first where units differ."""
    rows = getattr(datasets, f"load_{name}")(return_X_y=True)[0]
    if name != "digits":
        rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return Drawn(PCA(n_features, random_state=0).fit_transform(rows), None)


def clumps(n_rows, n_features, n_components, rng, size=0.01, ratio=100.0, away=1.0, others=0):
    """A broad field, clumps inside it, and other clusters beside it.

    The first clump holds this part of the field's rows and is so many times narrower; others hold
    twice or half as many and are half as narrow every other time.
    """
    centres = away * rng.standard_normal((n_components, n_features)) / np.sqrt(n_features)
    centres[0], deviations, counts = 0.0, np.ones(n_components), np.full(n_components, n_rows)
    for k in range(1, n_components):
        deviations[k], counts[k] = (2 - k % 2) / ratio, int(size * n_rows * (0.5, 1.0, 2.0)[k % 3])
    for k in range(n_components - others, n_components):
        centres[k] = 10.0 * rng.standard_normal(n_features)
        deviations[k], counts[k] = rng.uniform(0.3, 2.0), n_rows // 3
    labels = np.repeat(np.arange(n_components), counts)
    noise = rng.standard_normal((len(labels), n_features))
    order = rng.permutation(len(labels))
    return Drawn((centres[labels] + deviations[labels, None] * noise)[order], labels[order])


def curve(name, n_rows, rng):
    """Rows along a curve or a surface, which components can only cover."""
    made = getattr(datasets, f"make_{name}")
    return Drawn(made(n_rows, noise=0.1, random_state=int(rng.integers(2**31)))[0], None)


def problem(kind, n_rows, n_features, n_components, **more) -> Problem:
    """Name a problem by its kind and size."""
    extra = "".join(f" {value:g}" for value in more.values())
    name = f"{kind.__name__}{extra} n={n_rows} d={n_features} k={n_components}"
    return Problem(name, partial(kind, n_rows, n_features, n_components, **more), n_components)


def lopsided(n_rows, n_features, ratio) -> Problem:
    """Name a problem of two sizes."""
    draw = partial(unequal, n_rows, n_features, ratio)
    return Problem(f"unequal {ratio}:1 n={n_rows} d={n_features} k=2", draw, 2)


SMALL = [
    problem(oblong, 100, 2, 2),
    problem(oblong, 300, 2, 2),
    problem(oblong, 1000, 2, 4),
    problem(oblong, 2000, 8, 2),
    problem(oblong, 3000, 8, 3),
    problem(oblong, 5000, 30, 2),
    problem(crossing, 400, 2, 2),
    problem(crossing, 900, 2, 3),
    problem(crossing, 2000, 6, 3),
    lopsided(300, 2, 10),
    lopsided(2000, 2, 100),
    lopsided(5000, 6, 100),
    lopsided(20_000, 3, 1000),
    problem(scales, 1000, 6, 4),
    problem(nested, 1000, 2, 2),
    problem(nested, 2000, 8, 2),
    problem(blobs, 100, 2, 3),
    problem(blobs, 1000, 5, 5),
    problem(blobs, 3000, 2, 3, distance=2.5),
    problem(blobs, 3000, 5, 4, distance=2.5),
    problem(mixed, 3000, 2, 12),
    problem(mixed, 6000, 5, 12),
    problem(mixed, 4000, 10, 6),
    problem(mixed, 20_000, 5, 50),
    problem(blobs, 10_000, 3, 50, distance=15.0),
    Problem("iris n=150 d=4 k=3", partial(real, "iris"), 3),
    Problem("wine diag n=178 d=13 k=3", partial(real, "wine"), 3, "diag"),
    Problem("digits n=1797 d=8 k=10", partial(real, "digits"), 10),
    Problem("pixels n=5000 d=3 k=5", partial(real, "pixels"), 5),
]
LARGE = [
    problem(oblong, 100_000, 8, 3),
    problem(oblong, 100_000, 30, 3),
    problem(mixed, 100_000, 8, 8),
    lopsided(100_000, 3, 1000),
    problem(blobs, 100_000, 2, 12),
]
# never looked at while the start was made: for judging alone
HELD = [
    problem(oblong, 700, 5, 3, length=30.0, gap=4.0),
    problem(crossing, 3000, 12, 4),
    lopsided(10_000, 10, 300),
    problem(mixed, 5000, 3, 20, spread=4.0),
    problem(nested, 1500, 4, 2),
    problem(scales, 3000, 10, 6),
    problem(blobs, 2000, 16, 8, distance=6.0),
    problem(oblong, 30_000, 12, 5, length=20.0),
    Problem("breast_cancer diag n=569 d=30 k=2", partial(real, "breast_cancer"), 2, "diag"),
    Problem("flower n=5000 d=3 k=6", partial(real, "flower"), 6),
]
# drawn after the start was last changed, with other random numbers (FRESH_DRAWS): for judging alone
FRESH = [
    problem(oblong, 250, 2, 3, length=20.0, gap=6.0),
    problem(oblong, 1500, 2, 2, length=40.0),
    problem(oblong, 4000, 8, 4, length=8.0),
    problem(oblong, 8000, 30, 3, length=15.0),
    problem(crossing, 600, 2, 2),
    problem(crossing, 1500, 3, 3),
    problem(crossing, 4000, 8, 3),
    lopsided(1500, 4, 30),
    lopsided(8000, 8, 200),
    lopsided(40_000, 5, 1000),
    problem(strewn, 800, 2, 3),
    problem(strewn, 2500, 4, 5),
    problem(strewn, 6000, 10, 8),
    problem(concentric, 3000, 4, 2),
    problem(concentric, 5000, 8, 3),
    problem(shrinking, 1200, 3, 4),
    problem(shrinking, 6000, 9, 5),
    problem(scales, 2000, 8, 5),
    problem(nested, 700, 3, 2),
    problem(blobs, 150, 3, 4),
    problem(blobs, 2500, 3, 4, distance=3.0),
    problem(blobs, 6000, 8, 3, distance=2.0),
    problem(blobs, 5000, 4, 12, distance=6.0),
    problem(mixed, 5000, 4, 12, spread=3.0),
    problem(mixed, 15_000, 12, 12),
    problem(blobs, 20_000, 8, 50, distance=8.0),
    problem(mixed, 25_000, 3, 50, spread=4.0),
    problem(mixed, 150_000, 6, 10),
    problem(oblong, 200_000, 8, 4, length=20.0),
    lopsided(150_000, 4, 1000),
    Problem("diabetes n=442 d=5 k=3", partial(projected, "diabetes", 5), 3),
    Problem("breast_cancer n=569 d=4 k=3", partial(projected, "breast_cancer", 4), 3),
    Problem("wine n=178 d=3 k=3", partial(projected, "wine", 3), 3),
    Problem("digits n=1797 d=5 k=10", partial(projected, "digits", 5), 10),
    Problem("digits n=1797 d=12 k=5", partial(projected, "digits", 12), 5),
    Problem("sky n=4000 d=3 k=4", partial(crop, "china.jpg", (0, 200, 0, 640), 4000), 4),
    Problem("petals n=8000 d=3 k=7", partial(crop, "flower.jpg", (100, 400, 200, 500), 8000), 7),
]
FRESH_DRAWS = 1723
CLUMPS = [
    *(
        problem(clumps, 20_000, d, 2, size=0.01, ratio=ratio, away=away)
        for d in (2, 4, 8)
        for ratio in (5, 30, 1000)
        for away in (0.0, 2.0)
    ),
    *(problem(clumps, 100_000, d, 2, size=0.003, ratio=100) for d in (2, 4, 8)),
    problem(clumps, 300, 2, 2, size=0.07, ratio=20),
    problem(clumps, 2000, 4, 2, size=0.02, ratio=20),
    *(problem(clumps, 20_000, d, 4, size=0.01, ratio=60) for d in (2, 4, 8)),
    *(problem(clumps, 20_000, d, 5, size=0.01, ratio=60, others=3) for d in (2, 4, 8)),
    problem(clumps, 10_000, 4, 8, size=0.02, ratio=60, others=3),
]
CURVES = [
    Problem(f"{name} {kind} n={n_rows} k={k}", partial(curve, name, n_rows), k, kind)
    for name, n_rows in (
        ("s_curve", 1500),
        ("swiss_roll", 1500),
        ("moons", 1000),
        ("circles", 1000),
    )
    for kind, k in (("tied", 5), ("diag", 2), ("spherical", 4), ("full", 3), ("full", 6))
]
HUGE = [
    problem(oblong, 1_000_000, 8, 3),
    problem(mixed, 1_000_000, 8, 8),
    lopsided(1_000_000, 3, 1000),
    lopsided(1_000_000, 8, 1000),
]
COLLECTIONS = {
    "small": SMALL,
    "held": HELD,
    "fresh": FRESH,
    "clumps": CLUMPS,
    "curves": CURVES,
    "large": LARGE,
    "huge": HUGE,
}


class Runs(NamedTuple):
    """Mean log-likelihoods of one kind of start, and the processor's seconds of all its fits."""

    found: list[float]
    seconds: float
    models: list[Any]  # those that have not failed


def runs(estimator, problem: Problem, rows: np.ndarray, seeds: range, **more) -> Runs:
    """Fit with every seed."""
    found, models, begin = [], [], time.process_time()
    for seed in seeds:
        model = estimator(
            problem.n_components,
            covariance_type=problem.covariance_type,
            random_state=seed,
            **FIT,
            **more,
        )
        try:
            model.fit(rows)
            found.append(float(model.lower_bound_))
            models.append(model)
        except ValueError:
            found.append(-np.inf)
    return Runs(found, time.process_time() - begin, models)


def from_truth(problem: Problem, drawn: Drawn) -> Runs:
    """Climb from the moments of the true components."""
    of = [drawn.rows[drawn.labels == k] for k in range(problem.n_components)]
    if min(map(len, of)) <= drawn.rows.shape[1] or problem.covariance_type != "full":
        return Runs([], 0.0, [])
    start = {
        "weights_init": [len(rows) / len(drawn.rows) for rows in of],
        "means_init": [rows.mean(axis=0) for rows in of],
        "precisions_init": [np.linalg.inv(np.cov(rows.T)) for rows in of],
    }
    return runs(GaussianMixture, problem, drawn.rows, range(1), **start)


def under_the_prior_of(ours: GaussianMixture, others: list[GaussianMixture], rows) -> list[float]:
    """Climb from where others have ended under the prior of ours, and say how high."""
    found = []
    for model in others:
        model.set_params(prior="auto", warm_start=True)  # goes on under the prior that it has
        model.prior_strength_, model.prior_covariance_ = (
            ours.prior_strength_,
            ours.prior_covariance_,
        )
        found.append(float(model.fit(rows).lower_bound_))
    return found


class Verdict(NamedTuple):
    """Good runs of one problem, ours and scikit-learn's, of how many, and seconds a fit."""

    ours: int
    theirs: int
    n: int
    seconds: float
    their_seconds: float
    worst: float  # nats a row short of the best known


def judge(
    problem: Problem, n_seeds: int, with_rival: bool, draws: int = 7, prior: str | None = None
) -> Verdict:
    """Draw a data set for every seed, and fit it with every kind of start.

    Where the prior draws covariances together, others climb on under the same before they are
    compared; scikit-learn cannot.
    """
    good = np.zeros(2, int)
    seconds, their_seconds, worst = 0.0, 0.0, 0.0
    for seed in range(n_seeds):
        drawn = problem.draw(np.random.default_rng([seed, draws]))
        ours = runs(GaussianMixture, problem, drawn.rows, range(seed, seed + 1), prior=prior)
        theirs = Runs([], 0.0, [])
        if with_rival:
            theirs = runs(Rival, problem, drawn.rows, range(seed, seed + 1))
        others = []
        for method in OTHERS:
            trials = range(2 if len(drawn.rows) < 50_000 else 1)
            others.append(runs(GaussianMixture, problem, drawn.rows, trials, init_params=method))
        if prior is not None:
            others.append(runs(GaussianMixture, problem, drawn.rows, range(1), prior=None))
        if drawn.labels is not None:
            others.append(from_truth(problem, drawn))
        if ours.models and ours.models[0].prior_strength_ > 0.0:
            models = [model for each in others for model in each.models]
            known = under_the_prior_of(ours.models[0], models, drawn.rows)
        else:
            known = [value for each in (theirs, *others) for value in each.found]
        best = max(*ours.found, *known)
        good += [sum(value >= best - GOOD for value in kind.found) for kind in (ours, theirs)]
        seconds, their_seconds = seconds + ours.seconds, their_seconds + theirs.seconds
        worst = max(worst, best - min(ours.found))
    return Verdict(*good, n_seeds, seconds / n_seeds, their_seconds / n_seeds, worst)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a problem's name")
    parser.add_argument("--sizes", choices=[*COLLECTIONS, "all"], default="small")
    parser.add_argument("--no-rival", action="store_true")
    parser.add_argument("--prior", action="store_true", help="of the default; without the rival")
    asked = parser.parse_args()
    numba.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", DegenerateComponentWarning)
    everything = [each for some in COLLECTIONS.values() for each in some]
    problems = COLLECTIONS | {"all": everything}
    times = {"seconds": ".3f", "scikit-learn, seconds": ".3f", "short": ".3f"}
    table = Table({"data": "", "good": ">", "scikit-learn": ">"} | times)
    verdicts = []
    for each in problems[asked.sizes]:
        if asked.only in each.name:
            with threadpool_limits(1):
                draws = FRESH_DRAWS if each in FRESH else 7
                rival = not (asked.no_rival or asked.prior)
                prior = "auto" if asked.prior else None
                v = judge(each, asked.seeds, rival, draws, prior)
            verdicts.append(v)
            good = f"{v.ours}/{v.n}", f"{v.theirs}/{v.n}"
            table.row(each.name, *good, v.seconds, v.their_seconds, v.worst)
    total = sum(v.n for v in verdicts)
    ours, theirs = (sum(getattr(v, kind) for v in verdicts) for kind in ("ours", "theirs"))
    table.row("all", f"{ours}/{total}", f"{theirs}/{total}", "", "", "")


if __name__ == "__main__":
    main()
