"""Passes over incomplete rows beside passes over complete ones; and what is found of them.

    python -m bench.tables.missing --rows 1000000
    python -m bench.tables.missing --rows 1000000 --fit
    python -m bench.tables.missing --found
    python -m bench.tables.missing --found --tgmm /path/to/python

The first times one pass over rows of which one value in twenty is missing, in few patterns or
in a pattern of almost every row's own, beside a pass over the same rows with nothing missing, in
turn. The second times default fits of both. The third removes values of public sets at random, and
compares fits of what is left with a fit of all: by the log-likelihood of the complete rows per row,
and the distance of means. tgmm is run by a Python that has it, with its defaults.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from bench.tools import data, table, timing
from fastgmm import GaussianMixture, open_source, passes
from fastgmm.mixture.parameters import Parameters

SHARE = 0.05  # of the values, which are missing
FOUND_SHARES, SEEDS = (0.2, 0.5), 3
TGMM = """
import sys
import numpy as np, torch
from tgmm import GaussianMixture
incomplete, rows = (torch.tensor(np.load(f"{sys.argv[1]}/{name}.npy")) for name in ("lost", "all"))
kind = {"tied": "tied_full"}.get(sys.argv[3], sys.argv[3])
model = GaussianMixture(
    n_components=int(sys.argv[2]), n_features=rows.shape[1], covariance_type=kind,
    missing="em", random_state=0,
)
model.fit(incomplete)
np.save(f"{sys.argv[1]}/means.npy", np.asarray(model.means_))
print(float(np.mean(np.asarray(model.score_samples(rows)))))
"""


def main() -> None:
    """Time passes, or compare what is found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--found", action="store_true")
    parser.add_argument("--tgmm", metavar="PYTHON", help="a Python that has tgmm")
    arguments = parser.parse_args()
    if arguments.found:
        _found(arguments.tgmm)
    elif arguments.fit:
        _fits(arguments.rows, arguments.features, arguments.components)
    else:
        _passes(arguments.rows, arguments.features, arguments.components)


def holes(rows: np.ndarray, n_patterns: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return rows of which one value in twenty is missing, in so many patterns."""
    if n_patterns is None:
        missing = rng.random(rows.shape) < SHARE
    else:
        patterns = rng.random((n_patterns, rows.shape[1])) < SHARE
        patterns[0] = False
        missing = patterns[rng.integers(n_patterns, size=len(rows))]
    return np.where(missing, np.nan, rows)


def _passes(n_rows: int, n_features: int, n_components: int) -> None:
    truth = data.mixture(n_features, n_components)
    rows, rng = data.rows(truth, n_rows), np.random.default_rng(0)
    cases = {
        "20 patterns": holes(rows, 20, rng),
        "50 patterns": holes(rows, 50, rng),
        "any of them": holes(rows, None, rng),
        "half of the values, any": np.where(rng.random(rows.shape) < 0.5, np.nan, rows),
    }
    found = table.Table({"type": "", "missing": "", "of a complete pass": ".2f"})
    for kind in ("full", "tied", "diag"):
        model = GaussianMixture(n_components, covariance_type=kind, max_iter=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start: Parameters = model.fit(rows[:50_000])._parameters()
        for name, incomplete in cases.items():
            one = partial(passes.statistics, open_source(rows), [start])
            other = partial(passes.statistics, open_source(incomplete, missing=True), [start])
            ratios = timing.in_turn(one, other, turns=6).ratios
            found.row(kind, name, float(np.median(ratios[:, 1])))


def _fits(n_rows: int, n_features: int, n_components: int) -> None:
    rows = data.rows(data.mixture(n_features, n_components), n_rows)
    found = table.Table({"rows": "", "s": ".2f", "passes": "d", "score of all values": ".4f"})
    fit = partial(GaussianMixture, n_components, random_state=0)
    incomplete = holes(rows, 20, np.random.default_rng(0))
    for name, missing, given in (("complete", "error", rows), ("20 patterns", "em", incomplete)):
        fit(missing=missing).fit(given[:5_000])  # compile
        seconds, model = timing.timed(fit(missing=missing).fit, given)
        found.row(name, seconds, model.n_iter_, model.score(rows))


def _sets() -> dict[str, tuple[np.ndarray, int]]:
    digits = PCA(6, random_state=0).fit_transform(load_digits().data)
    sets = {
        "iris": (load_iris().data, 3),
        "wine": (load_wine().data, 3),
        "cancer, 10 features": (load_breast_cancer().data[:, :10], 2),
        "digits, 6 axes": (digits, 10),
    }
    return {name: (StandardScaler().fit_transform(rows), k) for name, (rows, k) in sets.items()}


def _found(tgmm: str | None) -> None:
    warnings.simplefilter("ignore")
    ways = ("em", "mean", "iterative", *(["tgmm"] if tgmm else []))
    heads = [f"{way}: {what}" for what in ("score", "means") for way in ways]
    found = table.Table({"set": "", "type": "", "missing": ".0%"} | dict.fromkeys(heads, ".2f"))
    for name, (rows, n_components) in _sets().items():
        for kind in ("full", "tied", "diag"):
            plain = partial(GaussianMixture, n_components, covariance_type=kind, random_state=0)
            whole = plain().fit(rows)
            for share in FOUND_SHARES:
                scores = [_compared(rows, share, seed, plain, whole, tgmm) for seed in range(SEEDS)]
                found.row(name, kind, share, *np.median(scores, axis=0))


def _compared(rows, share, seed, plain, whole, tgmm) -> list[float]:
    """Return how far each way's fit is from that of all values."""
    lost = np.random.default_rng(seed).random(rows.shape) < share
    lost[lost.all(axis=1), 0] = False
    incomplete = np.where(lost, np.nan, rows)
    fits = [plain(missing="em").fit(incomplete)]
    for imputer in (SimpleImputer(), IterativeImputer(random_state=0)):
        fits.append(plain().fit(imputer.fit_transform(incomplete)))
    answers = [(fit.score(rows), fit.means_) for fit in fits]
    if tgmm:
        answers.append(_by_tgmm(tgmm, incomplete, rows, whole))
    below = [score - whole.score(rows) for score, _ in answers]
    return [*below, *(_apart(means, whole.means_) for _, means in answers)]


def _by_tgmm(python: str, incomplete, rows, whole) -> tuple[float, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/lost.npy", incomplete)
        np.save(f"{folder}/all.npy", rows)
        program = Path(folder) / "tgmm_fit.py"
        program.write_text(TGMM)
        told = [str(whole.n_components), whole.covariance_type]
        command = [python, str(program), folder, *told]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.splitlines()[-1])
            return np.nan, np.full_like(whole.means_, np.nan)
        return float(done.stdout.splitlines()[-1]), np.load(f"{folder}/means.npy")


def _apart(means: np.ndarray, others: np.ndarray) -> float:
    """Return the root mean square distance of means, each with its own counterpart."""
    if np.isnan(means).any():
        return np.nan
    squares = np.square(means[:, None] - others).sum(axis=2)
    return float(np.sqrt(squares[linear_sum_assignment(squares)].mean()))


if __name__ == "__main__":
    main()
