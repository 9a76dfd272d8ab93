"""How often the default start is as good as scikit-learn's best of ten, on rows without components.

``python -m bench.tables.any_data`` fits curves, surfaces, uniform, heavy-tailed and skew rows,
counts, images and well-known data sets, two numbers of components per covariance type each, and
prints a Markdown table of those problems where a seed ends more than 0.01 nats per row below
scikit-learn's ``n_init=10``. Since our fits may have a prior, theirs climbs on under the same one
before they are compared. Seconds are the processor's, of our fits alone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as Rival

from bench.tables.right_starts import FIT, GOOD, under_the_prior_of
from bench.tools.table import Table
from fastgmm import GaussianMixture

COMPONENTS = {"full": (3, 6), "tied": (3, 5), "diag": (2, 4), "spherical": (4, 8)}


def standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def axes(rows: np.ndarray, count: int) -> np.ndarray:
    return PCA(count, random_state=0).fit_transform(rows)


def pixels(picture: str, n_rows: int) -> np.ndarray:
    image = datasets.load_sample_image(picture).reshape(-1, 3)
    return image[np.random.default_rng(0).choice(len(image), n_rows)].astype(float)


def curves(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    yield "S-curve", datasets.make_s_curve(1500, noise=0.1, random_state=0)[0]
    yield "Swiss roll", datasets.make_swiss_roll(1500, noise=0.1, random_state=0)[0]
    yield "moons", datasets.make_moons(1000, noise=0.08, random_state=0)[0]
    yield "circles", datasets.make_circles(1000, noise=0.06, factor=0.5, random_state=0)[0]
    for name, turns, n_rows in (("ring", 1, 2000), ("spiral", 3, 2000)):
        angles = rng.uniform(0.0, 2.0 * np.pi * turns, n_rows)
        radius, noise = (angles, 0.4) if turns > 1 else (np.ones(n_rows), 0.05)
        on_curve = np.column_stack([radius * np.cos(angles), radius * np.sin(angles)])
        yield name, on_curve + noise * rng.normal(size=on_curve.shape)
    along = rng.uniform(0.0, 4.0 * np.pi, 1500)
    yield "sine", np.column_stack([along, np.sin(along)]) + 0.1 * rng.normal(size=(1500, 2))
    along = rng.uniform(-2.0, 2.0, 2500)
    yield "parabola", np.column_stack([along, along**2]) + 0.15 * rng.normal(size=(2500, 2))
    bent = rng.normal(size=(2000, 2))
    yield "banana", np.column_stack([bent[:, 0], bent[:, 1] + 0.8 * bent[:, 0] ** 2])
    around = rng.normal(size=(2500, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    yield "sphere", around + 0.05 * rng.normal(size=around.shape)


def drawn(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    yield "square", rng.uniform(size=(2000, 2))
    yield "cube", rng.uniform(size=(2000, 5))
    board = rng.uniform(size=(8000, 2))
    yield "checkerboard", board[np.floor(4 * board).sum(axis=1) % 2 == 0][:3000]
    yield "simplex", rng.dirichlet([0.7] * 4, size=2000)[:, :3]
    yield "t, 3 degrees", rng.standard_t(3, size=(2000, 2))
    yield "t, 5 degrees", rng.standard_t(5, size=(3000, 4))
    yield "Laplace", rng.laplace(size=(2000, 3))
    yield "exponential", rng.exponential(size=(2000, 3))
    yield "log-normal", rng.lognormal(size=(1500, 2))
    rates = rng.choice([2, 8, 20], size=(1500, 1)) * np.array([1.0, 1.5, 0.5])
    yield "Poisson", rng.poisson(rates).astype(float)
    chances = rng.beta(0.5, 0.5, size=(1500, 1))
    yield "binomial", rng.binomial(20, chances, size=(1500, 4)).astype(float)
    rows, response = datasets.make_friedman1(1500, n_features=5, random_state=0)
    yield "Friedman 1", np.column_stack([rows[:, :4], response])


def well_known() -> Iterator[tuple[str, np.ndarray]]:
    yield "digits, 5 axes", axes(datasets.load_digits().data, 5)
    yield "digits, 10 axes", axes(datasets.load_digits().data, 10)
    yield "china", pixels("china.jpg", 4000)
    yield "flower", pixels("flower.jpg", 4000)
    yield "cancer, 4 axes", axes(standardised(datasets.load_breast_cancer().data), 4)
    yield "cancer, 10 features", standardised(datasets.load_breast_cancer().data[:, :10])
    yield "diabetes, 5 axes", axes(standardised(datasets.load_diabetes().data), 5)
    yield "iris", datasets.load_iris().data
    yield "wine, 5 axes", axes(standardised(datasets.load_wine().data), 5)


class Verdict(NamedTuple):
    """Fits as good as the rival's, and how far they are from it."""

    good: int
    worst: float
    best: float
    seconds: float


def judge(rows: np.ndarray, kind: str, n_components: int, seeds: range) -> Verdict:
    """Fit with every seed, and climb from where the rival has ended under the prior of each."""
    best_of_ten = Rival(
        n_components, covariance_type=kind, n_init=10, random_state=0, tol=FIT["tol"], max_iter=500
    ).fit(rows)
    as_it_is = {
        "weights_init": best_of_ten.weights_,
        "means_init": best_of_ten.means_,
        "precisions_init": best_of_ten.precisions_,
    }
    gaps, highest, seconds = [], dict[float, float](), 0.0
    for seed in seeds:
        begin = time.process_time()
        ours = GaussianMixture(n_components, covariance_type=kind, random_state=seed, **FIT)
        ours.fit(rows)
        seconds += time.process_time() - begin
        strength = ours.prior_strength_
        if strength not in highest:
            theirs = GaussianMixture(n_components, covariance_type=kind, prior=None, **FIT)
            theirs.set_params(**as_it_is).fit(rows)
            (highest[strength],) = under_the_prior_of(ours, [theirs], rows)
        gaps.append(ours.lower_bound_ - highest[strength])
    good = sum(gap > -GOOD for gap in gaps)
    return Verdict(good, min(gaps), max(gaps), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a data set's name")
    parser.add_argument("--seeds", type=int, default=10)
    said = parser.parse_args()
    warnings.simplefilter("ignore")
    figures = {"good": "", "worst": ".3f", "best": ".3f"}
    table = Table({"data": "", "type": "", "K": "d", "rows": "d"} | figures)
    rng = np.random.default_rng(5)
    found = []
    for name, rows in [*curves(rng), *drawn(rng), *well_known()]:
        for kind, several in COMPONENTS.items():
            for n_components in several if said.only in name else ():
                verdict = judge(rows, kind, n_components, range(said.seeds))
                found.append(verdict)
                if verdict.good < said.seeds:
                    good = f"{verdict.good}/{said.seeds}"
                    figures = good, verdict.worst, verdict.best
                    table.row(name, kind, n_components, len(rows), *figures)
    good, seconds = sum(each.good for each in found), sum(each.seconds for each in found)
    often = sum(each.good >= 0.9 * said.seeds for each in found)
    print(f"\n{good} of {len(found) * said.seeds} fits are as good, {seconds:.1f} s of processor")
    print(f"nine of ten seeds are in {often} of {len(found)} problems")


if __name__ == "__main__":
    main()
