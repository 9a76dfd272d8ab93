"""Passes that an acceleration of EM saves, on 64 problems, and where its climb ends.

``python -m bench.acceleration`` prints two Markdown tables. Every problem is climbed
from one start by EM alone, by "squarem" and by "anderson", in 600 passes at most. A ratio is the
passes of an acceleration, those in vain included, over the passes of EM alone: until the end of its
own climb is a millionth of a nat a row away, and until the default rule stops. An end is lower
where it misses that of EM alone by more than 1e-4 nats a row.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import NamedTuple

import numpy as np

from fastgmm import passes
from fastgmm.acceleration import ACCELERATIONS, Memory
from fastgmm.covariance import family
from fastgmm.em import MaximumLikelihood, State, Stopping, run
from fastgmm.parameters import Parameters
from fastgmm.sources import open_source

N_PROBLEMS = 64
NEAR = 1e-6  # nats a row from the limit
ELSEWHERE = 1e-4  # nats a row between ends that are not the same
TO_THE_END = Stopping(1e-9, 600)
DEFAULT = Stopping(1e-3, 600)
SLOW = 100  # passes of EM alone
TYPES = ("full", "tied", "diag", "spherical")


class Problem(NamedTuple):
    """Rows, and where EM begins."""

    rows: np.ndarray
    covariance_type: str
    start: Parameters


class Climb(NamedTuple):
    """What one way of climbing has done."""

    n_near: int  # passes until NEAR
    n_default: int  # passes until the default rule stops
    end: float
    fall: float  # the largest of the trace
    default_end: float


Found = dict[str | None, list[Climb]]


def problem(seed: int) -> Problem:
    """Draw a problem: its sizes, overlap, weights and covariance type turn with the seed."""
    rng = np.random.default_rng([7, seed])
    covariance_type = TYPES[seed % 4]
    separation = (0.5, 1.0, 2.0, 4.0)[seed // 4 % 4]
    n_features = int(rng.choice([1, 2, 3, 5, 8, 15, 30]))
    n_components = int(rng.choice([2, 3, 4, 6, 10, 20]))
    n_rows = int(rng.choice([500, 1000, 2000]))
    n_rows = max(n_rows, 25 * n_components) if n_features < 15 else 1000
    weights = 100.0 ** rng.uniform(0.0, 1.0 if seed % 2 else 0.3, n_components)
    centres = separation * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=weights / weights.sum())
    rows = centres[labels] + rng.normal(size=(n_rows, n_features))
    return Problem(rows, covariance_type, _start(rows, n_components, covariance_type, rng))


def _start(rows: np.ndarray, n_components: int, name: str, rng: np.random.Generator) -> Parameters:
    """Begin with rows for means, and with the covariance of all rows: far from the end."""
    n_features = rows.shape[1]
    whole = np.atleast_2d(np.cov(rows.T))
    covariances = {
        "full": np.tile(whole, (n_components, 1, 1)),
        "tied": whole,
        "diag": np.tile(np.diag(whole), (n_components, 1)),
        "spherical": np.full(n_components, np.trace(whole) / n_features),
    }[name]
    means = rows[rng.choice(len(rows), n_components, replace=False)]
    weights = np.full(n_components, 1.0 / n_components)
    return Parameters.from_covariances(family(name).structure, weights, means, covariances)


def climbed(of: Problem, name: str | None) -> Climb:
    """Climb to the end, and again as far as the default rule goes."""
    data_pass = partial(passes.statistics, open_source(of.rows))
    rule = MaximumLikelihood(family(of.covariance_type), 1e-6)
    state = State(rule, of.start, memory=None if name is None else Memory(name))
    (far,), (short,) = (run([state], data_pass, stop) for stop in (TO_THE_END, DEFAULT))
    trace = np.array(far.trace)
    near = int(np.argmax(trace >= trace[-1] - NEAR)) + 1
    fall = float(max(0.0, -np.min(np.diff(trace), initial=0.0)))
    return Climb(near, len(short.trace), float(trace[-1]), fall, float(short.trace[-1]))


def main() -> None:
    """Climb all problems and print the tables."""
    warnings.simplefilter("ignore")
    found: Found = {name: [] for name in (None, *ACCELERATIONS)}
    for seed in range(N_PROBLEMS):
        for name, climbs in found.items():
            climbs.append(climbed(problem(seed), name))
    print_tables(found)


def print_tables(found: Found) -> None:
    """Print passes and ends beside those of EM alone."""
    plain = found[None]
    n_near = np.array([c.n_near for c in plain])
    n_default = np.array([c.n_default for c in plain])
    print(f"EM alone: median {np.median(n_near):.0f} passes to {NEAR}, {np.max(n_near)} at most.")
    print("\n| passes beside EM alone | problems | best | quartile | median | quartile | worst |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name in ACCELERATIONS:
        near = np.array([c.n_near for c in found[name]]) / n_near
        default = np.array([c.n_default for c in found[name]]) / n_default
        same = np.abs([a.end - b.end for a, b in zip(found[name], plain, strict=True)]) < ELSEWHERE
        slow = n_near >= SLOW
        for what, ratios in (
            ("to 1e-6 of its limit", near),
            (f"of those, EM alone takes {SLOW} or more", near[slow]),
            ("of those, EM alone takes fewer", near[~slow]),
            ("of all, ends at the same limit", near[same]),
            ("to the default stop, tol=1e-3", default),
        ):
            quantiles = np.quantile(ratios, [0.0, 0.25, 0.5, 0.75, 1.0])
            numbers = " | ".join(f"{q:.2f}" for q in quantiles)
            print(f"| {name}, {what} | {len(ratios)} | {numbers} |")
    print(
        "\n| ends | the same | higher | lower | the lowest, nats | largest fall in a pass, nats |"
    )
    print("| --- | --: | --: | --: | --: | --: |")
    for name in (None, *ACCELERATIONS):
        gains = np.array([a.end - b.end for a, b in zip(found[name], plain, strict=True)])
        higher, lower = int(np.sum(gains > ELSEWHERE)), int(np.sum(gains < -ELSEWHERE))
        fall = max(c.fall for c in found[name])
        print(
            f"| {name or 'EM alone'} | {len(gains) - higher - lower} | {higher} | {lower} "
            f"| {gains.min():.4f} | {fall:.1e} |"
        )


if __name__ == "__main__":
    main()
