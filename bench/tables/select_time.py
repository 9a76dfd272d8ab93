"""A sweep over the number of components, beside a loop of scikit-learn fits.

    python -m bench.tables.select_time --rows 1000000 --features 10 --components 1:20

scikit-learn's loop takes most of an hour at that size, so only some of its fits are run, on the
first so many rows. Its seconds grow in proportion to rows (both its k-means and its EM walk all of
them in every pass) and between measured numbers of components they are interpolated. Both the part
that was run and the factor that it was multiplied by are printed; a factor of 1 extrapolates
nothing. Both begin from rows in memory, with their default arguments: our tol is a tenth of theirs.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import fastgmm
from bench.tools import data
from bench.tools.timing import timed


class Rival(NamedTuple):
    """What one fit of scikit-learn's took and found."""

    n_components: int
    seconds: float
    bic: float  # on all rows
    n_passes: int


def main() -> None:
    """Time both, and print what was found."""
    arguments = _arguments()
    rows = data.rows(data.mixture(arguments.features, arguments.clusters), arguments.rows)
    counts = range(arguments.components[0], arguments.components[1] + 1)
    fastgmm.select(rows[:2_000], [1, 2, 3], arguments.types, random_state=0)  # compile
    ours = partial(fastgmm.select, rows, counts, arguments.types, random_state=0)
    seconds, found = timed(ours)
    print(found.table)
    print(
        f"\nfastgmm {fastgmm.__version__}: {seconds:.1f} s for {len(found.table['bic'])} "
        f"candidates on {len(rows):,} rows of {rows.shape[1]} features; "
        f"{int(found.table['n_passes'].max()) + 2} passes"
    )
    total = 0.0
    for name in arguments.types:
        total += _beside(rows, name, counts, arguments, found)
    print(f"\nratio {total / seconds:.1f} (scikit-learn {total:.0f} s, in part extrapolated)")


def _beside(rows, name, counts, arguments, found) -> float:
    """Time scikit-learn on a part, and extrapolate to all candidates of one covariance type."""
    part = rows[: arguments.rival_rows or len(rows)]
    factor = len(rows) / len(part)
    tried = sorted({count for count in arguments.rival_components if count in counts})
    fits = [_fit(part, rows, name, count) for count in tried]
    print(f"\nscikit-learn {sklearn.__version__}, {name}, on {len(part):,} rows (x {factor:g})")
    of_type = found.table["covariance_type"] == name
    for fit in fits:
        ours = found.table["bic"][of_type & (found.table["n_components"] == fit.n_components)]
        print(
            f"  {fit.n_components:3d} components: {fit.seconds:8.2f} s, {fit.n_passes} passes; "
            f"BIC on all rows {fit.bic:.0f}, ours {ours[0]:.0f}"
        )
    estimated = factor * np.interp(list(counts), tried, [fit.seconds for fit in fits])
    return float(estimated.sum())


def _fit(part, rows, name, count) -> Rival:
    """Fit as its users do in a loop: the default start, a seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        default = GaussianMixture(count, covariance_type=name, random_state=0)
        seconds, model = timed(default.fit, part)
    # its score makes an array of rows x components: ours reads the same parameters block by block
    ours = fastgmm.GaussianMixture.from_parameters(
        model.weights_ / model.weights_.sum(),
        model.means_,
        model.covariances_,
        covariance_type=name,
    )
    return Rival(count, seconds, ours.bic(rows), model.n_iter_)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--clusters", type=int, default=10, help="of the mixture drawn from")
    parser.add_argument("--components", type=_range, default=(1, 20), help="such as 1:20")
    parser.add_argument("--types", type=lambda text: text.split(","), default=["full"])
    parser.add_argument("--rival-rows", type=int, default=100_000, help="0 for all")
    parser.add_argument(
        "--rival-components",
        type=lambda text: [int(count) for count in text.split(",")],
        default=[1, 5, 10, 20],
    )
    return parser.parse_args()


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last or first)


if __name__ == "__main__":
    main()
