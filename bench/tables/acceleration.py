"""Passes that an acceleration of EM saves, on 64 problems, and where its climb ends.

    python -m bench.tables.acceleration [--late]

Every problem is climbed from one start by EM alone, by "squarem" and by "auto", in 600 passes at
most. A ratio is the passes of an acceleration, those in vain included, over the passes of EM alone:
until the end of its own climb is a millionth of a nat per row away, and until scikit-learn's
default stops. An end is lower where it misses that of EM alone by more than 1e-4 nats per row.

--late prints one more table, of fits as they are by default: our `tol` and `max_iter`, from these
poor starts and, on twice as many problems, from our own.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from bench.tools.table import Table
from fastgmm import passes
from fastgmm.covariance import family
from fastgmm.em.acceleration import ACCELERATIONS, Acceleration
from fastgmm.em.loop import State, run
from fastgmm.em.stopping import MAX_PASSES, TOLERANCE, Stopping
from fastgmm.em.update_rules import Maximisation
from fastgmm.initialisation.methods import start_from
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source

N_PROBLEMS = 64
NEAR = 1e-6  # nats a row from the limit
ELSEWHERE = 1e-4  # nats a row between ends that are not the same
TO_THE_END = Stopping(1e-9, 600)
SHORT = Stopping(1e-3, 600)
DEFAULT = Stopping(TOLERANCE, MAX_PASSES)
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
    n_short: int  # passes until scikit-learn's tol stops
    end: float
    fall: float  # the largest of the trace
    short_end: float


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
    """Climb to the end, and again as far as scikit-learn's tol goes."""
    data_pass = partial(passes.statistics, open_source(of.rows))
    rule = Maximisation(family(of.covariance_type), 1e-6)
    state = State(rule, of.start, acceleration=None if name is None else Acceleration(name))
    (far,), (short,) = (run([state], data_pass, stop) for stop in (TO_THE_END, SHORT))
    trace = np.array(far.trace)
    near = int(np.argmax(trace >= trace[-1] - NEAR)) + 1
    fall = float(max(0.0, -np.min(np.diff(trace), initial=0.0)))
    return Climb(near, len(short.trace), float(trace[-1]), fall, float(short.trace[-1]))


def own_start(of: Problem, seed: int) -> Problem:
    """Return the problem with the start that a fit begins from by default."""
    of_family = family(of.covariance_type)
    n_components, rng = of.start.n_components, np.random.default_rng(seed)
    rule = Maximisation(of_family, 1e-6)
    sample = draw_sample(open_source(of.rows), rng)
    start = start_from(sample, "auto", n_components, rule, rng)
    return of._replace(start=start)


def print_late() -> None:
    """Print passes and ends of fits with our default stop, from poor starts and from our own."""
    ends = {"ends 1e-6 higher": "d", "lower": "d", "the lowest, nats": ".1e"}
    table = Table(
        {"starts": "", "acceleration": "", "fits": "d", "passes in all": "d"}
        | {"of EM's: median of slow fits": ".2f", "worst": ".2f"}
        | ends
    )
    for kind, n_problems in (("poor", N_PROBLEMS), ("our own", 2 * N_PROBLEMS)):
        problems = [problem(seed) for seed in range(n_problems)]
        if kind == "our own":
            problems = [own_start(of, seed) for seed, of in enumerate(problems)]
        plain = [default_climb(of, None) for of in problems]
        for name in (None, "squarem", "auto"):
            print_row(table, kind, name, plain, [default_climb(of, name) for of in problems])


def default_climb(of: Problem, name: str | None) -> tuple[float, ...]:
    """Return the trace of a climb with our default stop."""
    data_pass = partial(passes.statistics, open_source(of.rows))
    rule = Maximisation(family(of.covariance_type), 1e-6)
    state = State(rule, of.start, acceleration=None if name is None else Acceleration(name))
    return run([state], data_pass, DEFAULT)[0].trace


def print_row(
    table: Table,
    kind: str,
    name: str | None,
    plain: Sequence[tuple[float, ...]],
    found: Sequence[tuple[float, ...]],
) -> None:
    """Print what an acceleration does beside EM alone."""
    n_plain, n_found = (np.array([len(trace) for trace in traces]) for traces in (plain, found))
    ratios = n_found / n_plain
    gains = np.array([a[-1] - b[-1] for a, b in zip(found, plain, strict=True)])
    of_ratios = np.median(ratios[n_plain >= SLOW]), ratios.max()
    ends = np.sum(gains > NEAR), np.sum(gains < -NEAR), gains.min()
    table.row(kind, name or "EM alone", len(found), n_found.sum(), *of_ratios, *ends)


def main() -> None:
    """Climb all problems and print the tables."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--late", action="store_true", help="the table of default fits")
    if parser.parse_args().late:
        print_late()
        return
    found: Found = {name: [] for name in (None, *ACCELERATIONS)}
    for seed in range(N_PROBLEMS):
        for name, climbs in found.items():
            climbs.append(climbed(problem(seed), name))
    print_tables(found)


def print_tables(found: Found) -> None:
    """Print passes and ends beside those of EM alone."""
    plain = found[None]
    n_near = np.array([c.n_near for c in plain])
    n_short = np.array([c.n_short for c in plain])
    print(f"EM alone: median {np.median(n_near):.0f} passes to {NEAR}, {np.max(n_near)} at most.\n")
    headings = ("best", "lower quartile", "median", "upper quartile", "worst")
    names = {"passes beside EM alone": "", "problems": "d"}
    table = Table(names | dict.fromkeys(headings, ".2f"))
    for name in ACCELERATIONS:
        near = np.array([c.n_near for c in found[name]]) / n_near
        default = np.array([c.n_short for c in found[name]]) / n_short
        same = np.abs([a.end - b.end for a, b in zip(found[name], plain, strict=True)]) < ELSEWHERE
        slow = n_near >= SLOW
        for what, ratios in (
            ("to 1e-6 of its limit", near),
            (f"of those, EM alone takes {SLOW} or more", near[slow]),
            ("of those, EM alone takes fewer", near[~slow]),
            ("of all, ends at the same limit", near[same]),
            ("to scikit-learn's stop, tol=1e-3", default),
        ):
            quantiles = np.quantile(ratios, [0.0, 0.25, 0.5, 0.75, 1.0])
            table.row(f"{name}, {what}", len(ratios), *quantiles)
    print()
    counts = dict.fromkeys(("the same", "higher", "lower"), "d")
    nats = {"the lowest, nats": ".4f", "largest fall in a pass, nats": ".1e"}
    table = Table({"ends": "", **counts, **nats})
    for name in (None, *ACCELERATIONS):
        gains = np.array([a.end - b.end for a, b in zip(found[name], plain, strict=True)])
        higher, lower = int(np.sum(gains > ELSEWHERE)), int(np.sum(gains < -ELSEWHERE))
        fall = max(c.fall for c in found[name])
        same_ends = len(gains) - higher - lower
        table.row(name or "EM alone", same_ends, higher, lower, gains.min(), fall)


if __name__ == "__main__":
    main()
