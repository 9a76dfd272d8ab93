"""Pictures of a million rows, as files: seconds of each, beside the limit of two.

``python -m bench.tables.pictures`` prints a Markdown table: the best of three.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import matplotlib as mpl
import numpy as np

from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture, plot

N_ROWS, TURNS, LIMIT = 1_000_000, 3, 2.0


def mixture(n_features: int) -> GaussianMixture:
    """Three clusters of which two touch."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, n_features, n_features))
    return GaussianMixture.from_parameters(
        [0.5, 0.3, 0.2],
        rng.normal(size=(3, n_features)) * 3.0,
        roots @ roots.transpose(0, 2, 1) + 0.2 * np.eye(n_features),
    ).set_params(random_state=0)


def least_seconds(draw: Callable[[], object]) -> float:
    """Return the least seconds that drawing on new axes and writing a PNG took."""
    from matplotlib import pyplot as plt

    def written():
        ax = draw()
        ax.figure.savefig(io.BytesIO(), format="png")
        return ax.figure

    found = []
    for _ in range(TURNS):
        took, figure = timed(written)
        found.append(took)
        plt.close(figure)
    return min(found)


def main() -> None:
    """Print the table."""
    mpl.use("Agg")
    two, five = mixture(2), mixture(5)
    pairs, more = two.sample(N_ROWS)[0], five.sample(N_ROWS)[0]
    fitted = GaussianMixture(3, random_state=0).fit(pairs)
    numbers = np.arange(1, 21)
    drawn = {
        "clusters": partial(plot.clusters, two, pairs),
        "density": partial(plot.density, two, pairs),
        "uncertainty": partial(plot.uncertainty, two, pairs),
        "histogram": partial(plot.histogram, two, pairs),
        "scores": partial(plot.scores, two, pairs),
        "corner, of 5": partial(plot.corner, five, more),
        "trace": partial(plot.trace, fitted),
        "criteria": partial(plot.criteria, numbers, {"BIC": (numbers - 7.0) ** 2}),
    }
    table = Table({f"picture of {N_ROWS:,} × 2": "", "s": ".2f", "limit, s": ".0f"})
    for name, draw in drawn.items():
        table.row(name, least_seconds(draw), LIMIT)


if __name__ == "__main__":
    main()
