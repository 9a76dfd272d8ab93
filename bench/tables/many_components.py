"""Many components, on patches of sample images: passes that leave out what hardly counts.

    python -m bench.tables.many_components [--components 200 800 3200] [--rows 100000] [--to-end K]
    python -m bench.tables.many_components --whole K

Diagonal covariances, 64 features: 8×8 grey patches of scikit-learn's two images, each less its
mean, with noise of variance 1.
EM begins at rows, with the variances of all rows; a pass is timed after `--after` passes, by all
components and by a truncated one, in turn. Printed are what is left out, measured and as the pass
says, and how many components a row keeps. `--to-end` fits both to the end from one start and prints
where they end, also on patches held out. `--whole` fits all patches with the default start, by
cosine transform; strips of the images are held out, no pixel of which is seen. Needs Pillow, which
comes with the `plot` extra.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from scipy.fft import dctn
from sklearn.datasets import load_sample_images

from bench.tools.table import Table
from bench.tools.timing import in_turn, timed
from fastgmm import GaussianMixture, em, open_source, passes
from fastgmm.covariance import family
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.truncated import Truncated

SIDE = 8
FLOOR = 1e-3  # added to every variance
BOUND = 1e-3  # nats of each row
HELD_OUT = 20_000
STRIPS = (128, 192), (448, 512)  # of columns, held out by `--whole`


def patches(n_rows: int, seed: int = 0) -> np.ndarray:
    """Return so many patches, drawn from all of both images, (n, 64)."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(image.mean(axis=2), (SIDE, SIDE))
        for image in load_sample_images().images
    ]
    rng = np.random.default_rng(seed)
    every = np.concatenate([each.reshape(-1, SIDE * SIDE) for each in windows])
    rows = every[rng.choice(len(every), n_rows, replace=False)]
    rows -= rows.mean(axis=1, keepdims=True)
    return rows + rng.normal(size=rows.shape)


def transformed_patches(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches outside of two strips and those inside, by cosine transform, (n, 63)."""
    rng, parts = np.random.default_rng(seed), ([], [])
    for image in load_sample_images().images:
        windows = np.lib.stride_tricks.sliding_window_view(image.mean(axis=2), (SIDE, SIDE))
        left = np.arange(windows.shape[1])
        touching, inside = np.zeros_like(left, bool), np.zeros_like(left, bool)
        for begin, end in STRIPS:
            touching |= (left + SIDE > begin) & (left < end)
            inside |= (left >= begin) & (left + SIDE <= end)
        for part, its in zip(parts, (~touching, inside), strict=True):
            part.append(windows[:, its].reshape(-1, SIDE, SIDE))
    found = []
    for part in parts:
        rows = np.concatenate(part)
        rows += rng.normal(size=rows.shape)
        rows = dctn(rows, axes=(1, 2), norm="ortho").reshape(len(rows), -1)
        found.append(np.ascontiguousarray(rows[:, 1:]))  # without the mean
    return found[0], found[1]


def start(rows: np.ndarray, n_components: int) -> Parameters:
    """Return means at rows, and the variances of all rows for each."""
    chosen = np.random.default_rng(1).choice(len(rows), n_components, replace=False)
    weights = np.full(n_components, 1.0 / n_components)
    variances = np.tile(rows.var(axis=0), (n_components, 1))
    return Parameters.from_covariances("diagonal", weights, rows[chosen], variances)


def after(rows: np.ndarray, n_components: int, n_passes: int) -> Parameters:
    """Return what EM has come to after some passes."""
    found, source = start(rows, n_components), open_source(rows)
    rule = em.Maximisation(family("diag"), FLOOR, None)
    for _ in range(n_passes):
        (statistics,) = passes.statistics(source, [Truncated.of(found, BOUND)])
        found = rule.estimate(statistics, previous=found)
    return found


def of_a_pass(rows: np.ndarray, sizes: list[int], n_passes: list[int], turns: int) -> None:
    """Print seconds of a dense and a truncated pass, and what the latter leaves out."""
    clock = {"dense, s": ".3f", "truncated, s": ".3f", "ratio": ".2f"}
    lost_by = {"nats left out": ".1e", "as the pass says": ".1e", "kept a row": ".1f"}
    table = Table({"K": "d", "after passes": "d"} | clock | lost_by)
    source, n_rows = open_source(rows), len(rows)
    for n_components in sizes:
        for n in n_passes:
            parameters = after(rows, n_components, n)
            seen = Truncated.of(parameters, BOUND)
            found: dict[str, SufficientStatistics] = {}

            def one_pass(name: str, mixture: Parameters, found: dict = found) -> None:
                (found[name],) = passes.statistics(source, [mixture])

            ways = partial(one_pass, "dense", parameters), partial(one_pass, "truncated", seen)
            took = in_turn(*ways, turns=turns)
            lost = found["dense"].log_likelihood - found["truncated"].log_likelihood
            shares = passes.responsibilities(open_source(rows[:2000]), seen)
            table.row(
                n_components,
                n,
                *took.best,
                1.0 / np.median(took.ratios[:, 1]),
                lost / n_rows,
                found["truncated"].left_out / n_rows,
                (shares > 0.0).sum(axis=1).mean(),
            )


def to_the_end(rows: np.ndarray, held_out: np.ndarray, n_components: int) -> None:
    """Print where both fits end, and how many labels agree."""
    first = start(rows, n_components)
    numbers = {"passes": "d", "s": ".1f", "train": ".4f", "held out": ".4f", "left out": ".1e"}
    table = Table({"fit": ""} | numbers)
    labels = []
    for truncation in (None, "auto"):
        model = GaussianMixture(
            n_components,
            covariance_type="diag",
            reg_covar=FLOOR,
            weights_init=first.weights,
            means_init=first.means,
            precisions_init=first.precisions,
            acceleration=None,
            tol=1e-4 * 180,  # of the objective, which is about -180
            truncation=truncation,
        )
        seconds, _ = timed(model.fit, rows)
        labels.append(model.predict(held_out))
        table.row(
            "dense" if truncation is None else "truncated",
            model.n_iter_,
            seconds,
            model.lower_bound_,
            model.score(held_out),
            getattr(model, "truncated_mass_", 0.0),
        )
    print(f"labels that agree: {np.mean(labels[0] == labels[1]):.5f}")
    other = model.set_params(truncation=None).predict(held_out)
    print(f"labels of the truncated fit, by all components: {np.mean(labels[1] == other):.5f}")


def whole(n_components: int) -> None:
    """Print what a fit of all patches with the default start takes, and where it ends."""
    rows, held_out = transformed_patches()
    model = GaussianMixture(
        n_components, covariance_type="diag", truncation="auto", tol=1e-4 * 160, random_state=0
    )
    seconds, _ = timed(model.fit, rows)
    numbers = {"rows": "d", "K": "d", "passes": "d", "s": ".1f", "train": ".2f", "held out": ".2f"}
    fitted = model.n_iter_, seconds, model.score(rows), model.score(held_out)
    Table(numbers).row(len(rows), n_components, *fitted)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--components", type=int, nargs="+", default=[200, 800, 3200])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--after", type=int, nargs="+", default=[1, 2, 6, 12])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--to-end", type=int, metavar="K")
    parser.add_argument("--whole", type=int, metavar="K")
    given = parser.parse_args()
    if given.whole:
        whole(given.whole)
        return
    rows = patches(given.rows + HELD_OUT).astype(given.dtype)
    if given.to_end:
        to_the_end(rows[HELD_OUT:], rows[:HELD_OUT], given.to_end)
    else:
        of_a_pass(rows[HELD_OUT:], given.components, given.after, given.turns)


if __name__ == "__main__":
    main()
